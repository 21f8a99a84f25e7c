import { createHash } from 'node:crypto'

/** A run of whole frames, hashed while it grew. */
export interface BuiltPart {
  chunks: Buffer[]
  bytes: number
  rawBytes: number
  sha256: Buffer
  md5: Buffer
}

/** Gathers compressed frames into parts of about `partBytes`; a part is longer only when one frame alone is. */
export class PartBuilder {
  #chunks: Buffer[] = []
  #bytes = 0
  #rawBytes = 0
  #sha256 = createHash('sha256')
  #md5 = createHash('md5')

  constructor(readonly partBytes: number) {}

  /** Adds one frame; returns the part that it no longer fitted into. */
  add(frame: Buffer, rawBytes: number): BuiltPart | null {
    const full = this.#bytes > 0 && this.#bytes + frame.length > this.partBytes ? this.finish() : null
    this.#chunks.push(frame)
    this.#bytes += frame.length
    this.#rawBytes += rawBytes
    this.#sha256.update(frame)
    this.#md5.update(frame)
    return full
  }

  /** What was gathered since the last part, or null when that is nothing. */
  finish(): BuiltPart | null {
    if (this.#bytes === 0) return null
    const part = {
      chunks: this.#chunks,
      bytes: this.#bytes,
      rawBytes: this.#rawBytes,
      sha256: this.#sha256.digest(),
      md5: this.#md5.digest(),
    }
    this.#chunks = []
    this.#bytes = 0
    this.#rawBytes = 0
    this.#sha256 = createHash('sha256')
    this.#md5 = createHash('md5')
    return part
  }
}
