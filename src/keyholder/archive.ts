import type { Readable } from 'node:stream'
import {
  GetObjectCommand,
  ListObjectsV2Command,
  ListObjectVersionsCommand,
  type ListObjectVersionsCommandOutput,
  type S3Client,
} from '@aws-sdk/client-s3'
import pRetry from 'p-retry'
import { PostboxError } from '../errors.js'
import { archiveError } from './archive-error.js'
import { decodeKey, VersionPages, type StoredObject } from './object-versions.js'

export type { StoredObject } from './object-versions.js'

/** The bucket as the keyholder sees it: it can be read. Knows S3 and nothing of what is stored. */
export interface Archive {
  /** Objects under `prefix` in key order, by their earliest version; `after`: only keys that sort behind it. */
  list(prefix: string, after?: string): AsyncGenerator<StoredObject>
  /** Names of the folders right under `prefix`, without slashes. Costs one request per thousand folders. */
  folders(prefix: string): AsyncGenerator<string>
  /**
   * All bytes of one object, in the version that was listed. Throws `object_damaged` when their number differs.
   *
   * `into`: memory to use where it is large enough.
   */
  read(object: StoredObject, into?: Buffer): Promise<Buffer>
}

export interface ArchiveOptions {
  signal?: AbortSignal
  /** how long one request is tried again while the archive does not answer, on top of the SDK's own tries */
  patienceMs?: number
}

/** No answer, or no byte of a body, for this long is a dead peer. */
const SILENCE_MS = 60_000
const PATIENCE_MS = 15_000

/** Whoever opened `s3` destroys it. */
export function openArchive(s3: S3Client, bucket: string, options: ArchiveOptions = {}): Archive {
  const ask = <T>(doing: string, request: (attempt: Attempt) => Promise<T>): Promise<T> =>
    asking(bucket, doing, options, request)

  async function* list(prefix: string, after?: string): AsyncGenerator<StoredObject> {
    const pages = new VersionPages()
    let marker: { KeyMarker?: string; VersionIdMarker?: string } = after === undefined ? {} : { KeyMarker: after }
    for (;;) {
      const command = new ListObjectVersionsCommand({ Bucket: bucket, Prefix: prefix, EncodingType: 'url', ...marker })
      const page = await ask(`listing ${prefix}`, ({ signal }) => s3.send(command, { abortSignal: signal }))
      // Ceph lists the marker itself once more in a bucket with versions.
      for (const object of pages.add(page)) if (object.key !== after) yield object
      if (!page.IsTruncated) return
      marker = {
        KeyMarker: lastKey(page),
        ...(page.NextVersionIdMarker && { VersionIdMarker: page.NextVersionIdMarker }),
      }
    }
  }

  // Not by versions: that listing also names folders whose objects are all deleted.
  async function* folders(prefix: string): AsyncGenerator<string> {
    let token: { ContinuationToken?: string } = {}
    for (;;) {
      const command = new ListObjectsV2Command({ Bucket: bucket, Prefix: prefix, Delimiter: '/', ...token })
      const page = await ask(`listing ${prefix}`, ({ signal }) => s3.send(command, { abortSignal: signal }))
      for (const folder of page.CommonPrefixes ?? []) yield folder.Prefix!.slice(prefix.length, -1)
      if (!page.IsTruncated) return
      token = { ContinuationToken: page.NextContinuationToken! }
    }
  }

  function read(object: StoredObject, into?: Buffer): Promise<Buffer> {
    const version = object.versionId === null ? {} : { VersionId: object.versionId }
    const command = new GetObjectCommand({ Bucket: bucket, Key: object.key, ...version })
    return ask(`reading ${object.key}`, async (attempt) => {
      const answer = await s3.send(command, { abortSignal: attempt.signal })
      const content = into && into.length >= object.bytes ? into : Buffer.allocUnsafeSlow(object.bytes)
      const body = answer.Body as unknown as Readable
      return readBody(object, answer.ContentLength, body, content.subarray(0, object.bytes), attempt)
    })
  }

  return { list, folders, read }
}

/** One try of a request. */
interface Attempt {
  signal: AbortSignal
  /** tells that the other side is alive */
  heard(): void
}

async function asking<T>(
  bucket: string,
  doing: string,
  { signal, patienceMs = PATIENCE_MS }: ArchiveOptions,
  request: (attempt: Attempt) => Promise<T>,
): Promise<T> {
  const attempt = async () => {
    const silence = new AbortController()
    const timer = setTimeout(() => silence.abort(), SILENCE_MS)
    try {
      const both = signal ? AbortSignal.any([signal, silence.signal]) : silence.signal
      return await request({ signal: both, heard: () => timer.refresh() })
    } catch (thrown) {
      if (signal?.aborted) throw interrupted(signal)
      throw archiveError(thrown, bucket, doing)
    } finally {
      clearTimeout(timer)
    }
  }
  const retrying = pRetry(attempt, {
    retries: 1_000,
    minTimeout: 250,
    maxTimeout: 5_000,
    maxRetryTime: patienceMs,
    randomize: true,
    ...(signal && { signal }),
    shouldRetry: ({ error }) => error instanceof PostboxError && error.code === 'archive_unavailable',
  })
  return retrying.catch((error: unknown) => {
    throw signal?.aborted ? interrupted(signal) : error
  })
}

function interrupted(signal: AbortSignal): PostboxError {
  if (signal.reason instanceof PostboxError) return signal.reason
  return new PostboxError('interrupted', 'the command was interrupted', 'Run it again.')
}

/** The body in `content`, which has the size that was listed, filled as it comes. */
async function readBody(
  object: StoredObject,
  announced: number | undefined,
  body: Readable,
  content: Buffer,
  { signal, heard }: Attempt,
): Promise<Buffer> {
  const stop = () => body.destroy(Object.assign(new Error('no byte came for too long'), { code: 'ETIMEDOUT' }))
  signal.addEventListener('abort', stop)
  try {
    if (announced !== undefined && announced !== object.bytes) throw wrongSize(object, announced)
    let filled = 0
    for await (const chunk of body as AsyncIterable<Buffer>) {
      heard()
      if (filled + chunk.length > content.length) throw wrongSize(object, filled + chunk.length)
      filled += chunk.copy(content, filled)
    }
    if (filled !== content.length) throw Object.assign(new Error('the body ended early'), { code: 'ECONNRESET' })
    return content
  } finally {
    signal.removeEventListener('abort', stop)
    body.destroy()
  }
}

function wrongSize(object: StoredObject, bytes: number): PostboxError {
  return new PostboxError(
    'object_damaged',
    `${object.key} has ${bytes} bytes or more, and was listed with ${object.bytes}`,
    'The S3 service answers two things at once: check it.',
  )
}

function lastKey(page: ListObjectVersionsCommandOutput): string {
  const key = page.NextKeyMarker ?? ''
  return page.EncodingType === 'url' ? decodeKey(key) : key
}
