import { randomBytes } from 'node:crypto'
import type { Part } from './box.js'
import type { Grant } from './grant.js'

/** A posted form around a file's bytes, which are sent between `prefix` and `suffix`. */
export interface PostForm {
  contentType: string
  prefix: Buffer
  suffix: Buffer
  /** all of it, the file too: what Content-Length must say */
  bytes: number
}

/**
 * The longest that RFC 2046 allows. Ceph reads 4 MiB of a form ahead and copies all of them whenever it has taken more lines
 * than a boundary is long: with this once for each field, which is milliseconds for each post.
 */
const BOUNDARY_LENGTH = 70

/** What a form says of its file. */
export type FormPart = Pick<Part, 'key' | 'bytes' | 'sha256' | 'contentType'>

/**
 * The form that posts `part` under `grant`.
 *
 * `file` stands last, as S3 overlooks what follows it, and every field has its condition in the grant's policy, as S3
 * refuses a field without one. The length is exact: S3 takes no chunked form.
 *
 * https://docs.aws.amazon.com/AmazonS3/latest/developerguide/sigv4-HTTPPOSTForms.html
 */
export function postForm(grant: Pick<Grant, 'fields'>, part: FormPart): PostForm {
  // 128 random bits: nobody can have put them into the data.
  const boundary = `postbox-${randomBytes(16).toString('hex')}`.padEnd(BOUNDARY_LENGTH, '_')
  const { policy, 'x-amz-signature': signature, ...fixed } = grant.fields
  const fields = Object.entries({
    key: part.key,
    'content-type': part.contentType,
    'x-amz-checksum-sha256': part.sha256.toString('base64'),
    ...fixed,
    policy: policy ?? '',
    'x-amz-signature': signature ?? '',
  })
  const text = fields.map(
    ([name, value]) => `--${boundary}\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`,
  )
  // Without a filename S3 would leave a ${filename} in a key as it stands; servers differ, so there is always one.
  const file = `--${boundary}\r\nContent-Disposition: form-data; name="file"; filename="part"\r\nContent-Type: ${part.contentType}\r\n\r\n`
  const prefix = Buffer.from(text.join('') + file)
  const suffix = Buffer.from(`\r\n--${boundary}--\r\n`)
  return {
    contentType: `multipart/form-data; boundary=${boundary}`,
    prefix,
    suffix,
    bytes: prefix.length + part.bytes + suffix.length,
  }
}
