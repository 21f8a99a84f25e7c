/** One object to store. Its bytes are whole in memory, so that a retry needs nothing from the source. */
export interface Part {
  /** full object key; carries the first 12 hex digits of a SHA-256 (key-names.ts) */
  key: string
  /** stored bytes, in order; never changed after they were handed over */
  chunks: readonly Buffer[]
  /** length of all chunks together */
  bytes: number
  /** of the stored bytes */
  sha256: Buffer
  /** of the stored bytes; what S3 answers as ETag unless it encrypts by KMS */
  md5: Buffer
  contentType: string
  /** WAL: it is not throttled, as the server keeps what is not stored yet */
  urgent?: boolean
}

/** What the box said of a stored object. */
export interface Receipt {
  key: string
  bytes: number
  etag: string
  /** absent where the bucket keeps no versions or does not name them */
  versionId: string | null
}

/** Where parts go. Knows HTTP and nothing of Postgres. */
export interface Box {
  /**
   * Stores one part. Posting the same part twice is harmless: the key carries its content.
   *
   * Throws a PostboxError whose `retryable` says whether the same part may be posted again.
   */
  post(part: Part, signal: AbortSignal): Promise<Receipt>
}
