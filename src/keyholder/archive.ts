import type { Readable } from 'node:stream'
import {
  GetObjectCommand,
  ListObjectsV2Command,
  ListObjectVersionsCommand,
  type ListObjectVersionsCommandOutput,
  type S3Client,
} from '@aws-sdk/client-s3'
import { PostboxError } from '../errors.js'
import { asking, type ArchiveOptions, type Attempt } from './ask-archive.js'
import { asObject, decodeKey, VersionPages, type StoredKey, type StoredObject } from './object-versions.js'

export type { ArchiveOptions } from './ask-archive.js'
export type { StoredObject } from './object-versions.js'

/** The bucket as the keyholder sees it: it can be read. Knows S3 and nothing of what is stored. */
export interface Archive {
  /**
   * Objects under `prefix` in key order, by their earliest version; `after`: only keys that sort behind it. `pageKeys`: how
   * many one request asks for, where no more will be wanted.
   */
  list(prefix: string, after?: string, pageKeys?: number): AsyncGenerator<StoredObject>
  /** Names of the folders right under `prefix`, without slashes. Costs one request per thousand folders. */
  folders(prefix: string): AsyncGenerator<string>
  /**
   * All bytes of one object, in the version that was listed. Throws `object_damaged` when their number differs.
   *
   * `into`: memory to use where it is large enough.
   */
  read(object: StoredObject, into?: Buffer): Promise<Buffer>
}

/** Whoever opened `s3` destroys it. */
export function openArchive(s3: S3Client, bucket: string, options: ArchiveOptions = {}): Archive {
  const ask = <T>(doing: string, request: (attempt: Attempt) => Promise<T>): Promise<T> =>
    asking(bucket, doing, options, request)

  async function* list(prefix: string, after?: string, pageKeys?: number): AsyncGenerator<StoredObject> {
    for await (const key of listKeys(s3, bucket, options, prefix, after, pageKeys)) {
      const object = asObject(key)
      if (object) yield object
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

/** Everything under `prefix` in key order, with all versions and delete markers. */
export async function* listKeys(
  s3: S3Client,
  bucket: string,
  options: ArchiveOptions,
  prefix: string,
  after?: string,
  pageKeys?: number,
): AsyncGenerator<StoredKey> {
  const pages = new VersionPages()
  let marker: { KeyMarker?: string; VersionIdMarker?: string } = after === undefined ? {} : { KeyMarker: after }
  for (;;) {
    const command = new ListObjectVersionsCommand({
      Bucket: bucket,
      Prefix: prefix,
      EncodingType: 'url',
      MaxKeys: pageKeys,
      ...marker,
    })
    const doing = `listing ${prefix}`
    const page = await asking(bucket, doing, options, ({ signal }) => s3.send(command, { abortSignal: signal }))
    // Ceph lists the marker itself once more in a bucket with versions.
    for (const key of pages.add(page)) if (key.key !== after) yield key
    if (!page.IsTruncated) return
    marker = {
      KeyMarker: lastKey(page),
      ...(page.NextVersionIdMarker && { VersionIdMarker: page.NextVersionIdMarker }),
    }
  }
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
