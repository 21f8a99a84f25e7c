import { checkContent } from './checksum.js'
import { accessDenied, element, escapeXml, noSuchBucket, notImplemented, S3Error, XML_HEAD } from './errors.js'
import { listObjects, listVersions } from './list.js'
import { readPayload } from './payload.js'
import { postObject } from './post.js'
import type { Exchange, Reply } from './request.js'
import { checkHeaderSignature } from './signature.js'
import { Bucket, type Version } from './store.js'

const NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
const xml = (body: string): Reply => ({
  status: 200,
  headers: { 'Content-Type': 'application/xml' },
  body: XML_HEAD + body,
})
const empty = (status: number, headers: Record<string, string> = {}): Reply => ({ status, headers, body: '' })

/** Does what a request asks. All but the form upload must be signed in their headers. */
export async function perform(exchange: Exchange): Promise<Reply> {
  const { target, request, keys, now } = exchange
  if (target.op === 'PostObject') return postObject(exchange)
  const contentSha256 = checkHeaderSignature(request, keys, now)
  if (target.op === 'Unknown') throw notImplemented(`${target.method} ${request.url ?? ''}`)
  if (target.op === 'ListBuckets') return xml(bucketsXml(exchange))
  if (target.op === 'CreateBucket') return createBucket(exchange, contentSha256)
  const bucket = exchange.buckets.get(target.bucket)
  if (!bucket) throw noSuchBucket(target.bucket)
  switch (target.op) {
    case 'HeadBucket':
      return empty(200, { 'x-amz-bucket-region': keys.region })
    case 'GetBucketLocation':
      return xml(`<LocationConstraint ${NAMESPACE}/>`)
    case 'GetBucketVersioning':
      return xml(
        `<VersioningConfiguration ${NAMESPACE}>${bucket.versioned ? element('Status', 'Enabled') : ''}</VersioningConfiguration>`,
      )
    case 'GetObjectLockConfiguration':
      return xml(lockXml(bucket))
    case 'ListObjectsV2':
      return xml(listObjects(bucket, target.query).slice(XML_HEAD.length))
    case 'ListObjectVersions':
      return xml(listVersions(bucket, target.query).slice(XML_HEAD.length))
    case 'GetObjectRetention':
      return xml(retentionXml(find(bucket, exchange)))
    case 'GetObject':
    case 'HeadObject':
      return readObject(bucket, exchange)
    case 'PutObject':
      return putObject(bucket, exchange, contentSha256)
    case 'DeleteObject':
      return deleteObject(bucket, exchange)
    default:
      return deleteObjects(bucket, exchange, contentSha256)
  }
}

/** The version asked for, or the current one. */
function find(bucket: Bucket, { target }: Exchange): Version & { bytes: Buffer } {
  const versionId = target.query.get('versionId')
  const version = versionId
    ? bucket.versions(target.key).find((one) => one.versionId === versionId)
    : bucket.current(target.key)
  if (version?.bytes) return version as Version & { bytes: Buffer }
  if (version && versionId) {
    throw new S3Error(
      405,
      'MethodNotAllowed',
      'The specified method is not allowed against this resource.',
      {},
      { 'x-amz-delete-marker': 'true' },
    )
  }
  if (versionId) {
    throw new S3Error(404, 'NoSuchVersion', 'The specified version does not exist.', {
      Key: target.key,
      VersionId: versionId,
    })
  }
  const headers: Record<string, string> = version
    ? { 'x-amz-delete-marker': 'true', 'x-amz-version-id': version.versionId }
    : {}
  throw new S3Error(404, 'NoSuchKey', 'The specified key does not exist.', { Key: target.key }, headers)
}

function readObject(bucket: Bucket, exchange: Exchange): Reply {
  const version = find(bucket, exchange)
  const { bytes } = version
  const headers: Record<string, string> = {
    ETag: `"${version.md5}"`,
    'Content-Type': version.contentType,
    'Last-Modified': version.storedAt.toUTCString(),
    'Accept-Ranges': 'bytes',
  }
  if (bucket.versioned) headers['x-amz-version-id'] = version.versionId
  if (version.sha256 && exchange.request.headers['x-amz-checksum-mode'] === 'ENABLED')
    headers['x-amz-checksum-sha256'] = version.sha256
  const range = exchange.request.headers.range
  if (range === undefined) return { status: 200, headers, body: bytes }
  const [start, end] = readRange(range, bytes.length)
  return {
    status: 206,
    headers: { ...headers, 'Content-Range': `bytes ${start}-${end - 1}/${bytes.length}` },
    body: bytes.subarray(start, end),
  }
}

/** First and after-last byte of a Range header. */
function readRange(range: string, length: number): [number, number] {
  const [, first = '', last = ''] = /^bytes=(\d*)-(\d*)$/.exec(range) ?? []
  const start = first === '' ? Math.max(length - Number(last), 0) : Number(first)
  const end = first === '' || last === '' ? length : Math.min(Number(last) + 1, length)
  if ((first === '' && last === '') || start >= length || end <= start) {
    throw new S3Error(416, 'InvalidRange', 'The requested range is not satisfiable', {
      RangeRequested: range,
      ActualObjectSize: String(length),
    })
  }
  return [start, end]
}

async function putObject(bucket: Bucket, exchange: Exchange, contentSha256: string): Promise<Reply> {
  const { target, request, now } = exchange
  const { bytes, given } = await readPayload(exchange, contentSha256)
  const { sha256 } = checkContent(bytes, given, bucket.lock)
  if (request.headers['if-none-match'] === '*' && bucket.current(target.key)?.bytes) {
    throw new S3Error(412, 'PreconditionFailed', 'At least one of the pre-conditions you specified did not hold', {
      Condition: 'If-None-Match',
    })
  }
  exchange.beforeStore()
  const contentType = request.headers['content-type'] ?? 'binary/octet-stream'
  const version = bucket.put(target.key, bytes, { contentType, storedAt: now, sha256 })
  const headers: Record<string, string> = { ETag: `"${version.md5}"` }
  if (bucket.versioned) headers['x-amz-version-id'] = version.versionId
  return empty(200, headers)
}

function deleteObject(bucket: Bucket, exchange: Exchange): Reply {
  const { target, now } = exchange
  exchange.beforeStore()
  const versionId = target.query.get('versionId')
  if (versionId) {
    deleteVersion(bucket, target.key, versionId, now)
    return empty(204, { 'x-amz-version-id': versionId })
  }
  const marker = bucket.delete(target.key, now)
  return empty(204, marker ? { 'x-amz-version-id': marker.versionId, 'x-amz-delete-marker': 'true' } : {})
}

function deleteVersion(bucket: Bucket, key: string, versionId: string, now: Date): void {
  const version = bucket.versions(key).find((one) => one.versionId === versionId)
  if (version?.retainUntil && version.retainUntil > now) {
    throw accessDenied('Access Denied because object protected by object lock.')
  }
  bucket.deleteVersion(key, versionId)
}

async function deleteObjects(bucket: Bucket, exchange: Exchange, contentSha256: string): Promise<Reply> {
  const { bytes, given } = await readPayload(exchange, contentSha256)
  checkContent(bytes, given, true)
  const text = bytes.toString('utf8')
  const objects = [...text.matchAll(/<Object>(.*?)<\/Object>/gs)].map(([, object]) => ({
    key: unescapeXml(/<Key>(.*?)<\/Key>/s.exec(object!)?.[1] ?? ''),
    versionId: /<VersionId>(.*?)<\/VersionId>/s.exec(object!)?.[1] ?? null,
  }))
  if (objects.length === 0 || objects.length > 1000) {
    throw new S3Error(
      400,
      'MalformedXML',
      'The XML you provided was not well-formed or did not validate against our published schema',
    )
  }
  exchange.beforeStore()
  const results = objects.map(({ key, versionId }) => {
    try {
      if (versionId) deleteVersion(bucket, key, versionId, exchange.now)
      else bucket.delete(key, exchange.now)
      return `<Deleted><Key>${escapeXml(key)}</Key>${versionId ? element('VersionId', versionId) : ''}</Deleted>`
    } catch (error) {
      if (!(error instanceof S3Error)) throw error
      return `<Error><Key>${escapeXml(key)}</Key>${element('Code', error.code)}${element('Message', error.message)}</Error>`
    }
  })
  return xml(`<DeleteResult ${NAMESPACE}>${results.join('')}</DeleteResult>`)
}

async function createBucket(exchange: Exchange, contentSha256: string): Promise<Reply> {
  const { target, request, buckets } = exchange
  if (request.headers['content-length'] !== undefined) await readPayload(exchange, contentSha256)
  if (buckets.has(target.bucket)) {
    throw new S3Error(
      409,
      'BucketAlreadyOwnedByYou',
      'Your previous request to create the named bucket succeeded and you already own it.',
    )
  }
  exchange.beforeStore()
  buckets.set(
    target.bucket,
    new Bucket({ name: target.bucket, lock: request.headers['x-amz-bucket-object-lock-enabled'] === 'true' }),
  )
  return empty(200, { Location: `/${target.bucket}` })
}

function bucketsXml({ buckets }: Exchange): string {
  const entries = [...buckets.keys()]
    .sort()
    .map((name) => `<Bucket>${element('Name', name)}${element('CreationDate', '2026-01-01T00:00:00.000Z')}</Bucket>`)
  return `<ListAllMyBucketsResult ${NAMESPACE}><Owner><ID>local</ID></Owner><Buckets>${entries.join('')}</Buckets></ListAllMyBucketsResult>`
}

function lockXml(bucket: Bucket): string {
  if (!bucket.lock) {
    throw new S3Error(
      404,
      'ObjectLockConfigurationNotFoundError',
      'Object Lock configuration does not exist for this bucket',
    )
  }
  return `<ObjectLockConfiguration ${NAMESPACE}><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention><Mode>COMPLIANCE</Mode><Days>1</Days></DefaultRetention></Rule></ObjectLockConfiguration>`
}

function retentionXml({ retainUntil }: Version): string {
  if (!retainUntil) {
    throw new S3Error(
      404,
      'NoSuchObjectLockConfiguration',
      'The specified object does not have a ObjectLock configuration',
    )
  }
  return `<Retention ${NAMESPACE}><Mode>COMPLIANCE</Mode>${element('RetainUntilDate', retainUntil.toISOString())}</Retention>`
}

const ENTITIES: Record<string, string> = {
  '&amp;': '&',
  '&lt;': '<',
  '&gt;': '>',
  '&quot;': '"',
  '&apos;': "'",
  '&#39;': "'",
}
const unescapeXml = (text: string): string =>
  text.replace(/&(amp|lt|gt|quot|apos|#39);/g, (entity) => ENTITIES[entity]!)
