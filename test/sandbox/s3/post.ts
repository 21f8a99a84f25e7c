import { element, noSuchBucket, S3Error, XML_HEAD, accessDenied } from './errors.js'
import { checkContent } from './checksum.js'
import { formBoundary, readFields, readFile } from './form.js'
import { checkPolicy, checkSize } from './policy.js'
import { contentLength, type Exchange, type Reply } from './request.js'
import { checkFormSignature, missingField, parseAmzDate } from './signature.js'
import type { Bucket, Version } from './store.js'

/**
 * POST Object: an upload by form, allowed by the signed policy in it.
 *
 * Checks in the order of S3: length, content type, missing fields, no policy at all, signature, policy, size, checksum.
 *
 * https://docs.aws.amazon.com/AmazonS3/latest/API/RESTObjectPOST.html
 */
export async function postObject(exchange: Exchange): Promise<Reply> {
  const { target, request, keys, now } = exchange
  contentLength(request)
  const boundary = formBoundary(request.headers['content-type'])
  const bucket = exchange.buckets.get(target.bucket)
  if (!bucket) throw noSuchBucket(target.bucket)

  const body = exchange.body()
  const { fields, filename, fileStart } = await readFields(body, boundary)
  const givenKey = fields.get('key')
  if (givenKey === undefined) throw missingField('key')
  if (filename === null) {
    throw new S3Error(400, 'InvalidArgument', 'POST requires exactly one file upload per request.', {
      ArgumentName: 'file',
      ArgumentValue: '0',
    })
  }
  const key = filename === '' ? givenKey : givenKey.replaceAll('${filename}', filename)
  await exchange.keyKnown(key)

  if (!fields.has('policy')) throw accessDenied()
  checkFormSignature(fields, keys)
  checkFormAge(fields.get('x-amz-date')!, exchange)
  const range = checkPolicy(new Map(fields).set('key', key), target.bucket, now)

  // Far too large is refused before the file has arrived, as S3 does.
  const endBytes = boundary.length + 8
  if (body.length - fileStart - endBytes > range.max) checkSize(body.length - fileStart - endBytes, range)
  const file = await readFile(body, boundary, fileStart)
  checkSize(file.length, range)
  const { sha256 } = checkContent(file, (name) => fields.get(name), bucket.lock)

  exchange.beforeStore()
  const contentType = fields.get('content-type') ?? 'binary/octet-stream'
  const version = bucket.put(key, Buffer.from(file), { contentType, storedAt: now, sha256 })
  return stored(bucket, key, version, fields, exchange)
}

function stored(bucket: Bucket, key: string, version: Version, fields: Map<string, string>, exchange: Exchange): Reply {
  const fault = exchange.fault()
  const changed = fault?.kind === 'answer' ? fault : null
  const etag = changed?.etag ?? `"${version.md5}"`
  const named = { bucket: changed?.bucket ?? bucket.name, key: changed?.key ?? key }
  const location = `http://${exchange.request.headers.host ?? ''}/${named.bucket}/${encodeURIComponent(named.key)}`
  const headers: Record<string, string> = { ETag: etag, Location: location }
  if (bucket.versioned) headers['x-amz-version-id'] = version.versionId
  if (version.sha256) headers['x-amz-checksum-sha256'] = version.sha256
  if (version.sha256) headers['x-amz-checksum-type'] = 'FULL_OBJECT'
  Object.assign(headers, changed?.headers)
  const wanted = fields.get('success_action_status')
  const status = changed?.status ?? (wanted === '200' || wanted === '201' ? Number(wanted) : 204)
  if (status !== 201) return { status, headers, body: changed?.body ?? '' }
  const xml = `${XML_HEAD}<PostResponse>${element('Location', location)}${element('Bucket', named.bucket)}${element('Key', named.key)}<ETag>${etag}</ETag></PostResponse>`
  return { status, headers: { ...headers, 'Content-Type': 'application/xml' }, body: changed?.body ?? xml }
}

/** Some services refuse a form whose x-amz-date is too old, whatever its expiration; AWS is not known to. */
function checkFormAge(date: string, { formAgeMs, now }: Exchange): void {
  if (formAgeMs === null) return
  if (Math.abs(now.getTime() - parseAmzDate(date).getTime()) <= formAgeMs) return
  throw new S3Error(
    403,
    'RequestTimeTooSkewed',
    'The difference between the request time and the current time is too large.',
    { RequestTime: date, ServerTime: now.toISOString() },
  )
}
