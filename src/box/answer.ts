import { PostboxError } from '../errors.js'
import type { Part, Receipt } from './box.js'
import type { Grant } from './grant.js'
import { refusal } from './refusal.js'
import { elementText } from './xml.js'

/** What the box answered, its body cut to what is worth reading. */
export interface Answer {
  status: number
  /** by lower case name; of a repeated header the first */
  headers: Readonly<Record<string, string | undefined>>
  body: string
}

/** Part and grant that an answer is held against. */
export interface Posted {
  part: Pick<Part, 'key' | 'bytes' | 'sha256' | 'md5'>
  grant: Grant
  now: Date
}

/**
 * Reads the answer to a POST. Only a 201 that names the bucket, the key and the content that were sent is a success:
 * a proxy's "200 OK" is none, and neither is a 200 that carries an error.
 *
 * Throws what the box said as a PostboxError (refusal.ts), or `box_answer_wrong`. `Location` is not looked at: services
 * differ in it.
 */
export function readReceipt(answer: Answer, posted: Posted): Receipt {
  const { part, grant } = posted
  const { status, headers, body } = answer
  if (status < 200 || status > 299 || /<Error[\s>]/.test(body)) throw refusal(answer, posted)
  if (status !== 201) throw wrong(part.key, `status ${status} in place of 201`)
  if (!/<PostResponse[\s>]/.test(body)) throw wrong(part.key, 'a 201 without a PostResponse')

  const bucket = elementText(body, 'Bucket')
  if (bucket !== grant.bucket) throw wrong(part.key, `bucket ${bucket ?? '(none)'} in place of ${grant.bucket}`)
  const key = elementText(body, 'Key')
  if (key !== part.key) throw wrong(part.key, `key ${key ?? '(none)'}`)
  const etag = elementText(body, 'ETag')?.replaceAll('"', '')
  if (!etag) throw wrong(part.key, 'no ETag')
  if (!encryptedByKey(headers) && etag.toLowerCase() !== part.md5.toString('hex')) {
    throw wrong(part.key, `ETag ${etag} in place of the MD5 of what was sent`)
  }
  const sha256 = headers['x-amz-checksum-sha256']
  if (sha256 !== undefined && sha256 !== part.sha256.toString('base64')) {
    throw wrong(part.key, 'another SHA-256 than that of what was sent')
  }
  const versionId = headers['x-amz-version-id']
  return { key, bytes: part.bytes, etag, versionId: versionId && versionId !== 'null' ? versionId : null }
}

/** The ETag is no MD5 where S3 encrypts with KMS or with a key of the customer. */
function encryptedByKey(headers: Answer['headers']): boolean {
  const byKms = headers['x-amz-server-side-encryption']?.startsWith('aws:kms') ?? false
  return byKms || headers['x-amz-server-side-encryption-customer-algorithm'] !== undefined
}

function wrong(key: string, what: string): PostboxError {
  return new PostboxError(
    'box_answer_wrong',
    `the answer to ${key} is not that of an S3 that stored it: ${what.slice(0, 200)}`,
    'See what stands between the worker and S3: a proxy, a cache, or a service that is not quite S3.',
  )
}
