import type { S3Client } from '@aws-sdk/client-s3'
import { createPresignedPost } from '@aws-sdk/s3-presigned-post'
import { PostboxError } from '../errors.js'

/** What a policy allows: any key under the prefix, any number of times, until it ends. */
export interface PolicyTerms {
  bucket: string
  /** ends in `/` */
  keyPrefix: string
  expiresInSeconds: number
  maxBytes: number
  now: Date
}

/** A signed POST policy with the form that goes with it. */
export interface SignedPolicy {
  /** where to POST */
  url: string
  /** the form's fixed fields by lower case name, `policy` and `x-amz-signature` among them; no `key` */
  fields: Record<string, string>
  /** ISO 8601, UTC, as the policy itself says */
  issuedAt: string
  expiresAt: string
}

/** S3 takes no larger object in one request. */
export const maxObjectBytes = 5 * 1024 ** 3

/**
 * Signs a POST policy (SigV4).
 *
 * The policy covers what the form must carry and no more: S3 refuses a field without a condition and a condition
 * without its field. It allows no acl, no redirect, no tags.
 *
 * https://docs.aws.amazon.com/AmazonS3/latest/developerguide/sigv4-HTTPPOSTConstructPolicy.html
 */
export async function signPolicy(s3: S3Client, terms: PolicyTerms): Promise<SignedPolicy> {
  checkTerms(terms)
  const { url, fields } = await createPresignedPost(signingAt(s3, terms.now), {
    Bucket: terms.bucket,
    // The library makes `starts-with $key` of a key that ends like this.
    Key: `${terms.keyPrefix}\${filename}`,
    Expires: terms.expiresInSeconds,
    Conditions: [
      ['content-length-range', 1, terms.maxBytes],
      ['starts-with', '$x-amz-checksum-sha256', ''],
      ['starts-with', '$content-type', ''],
    ],
    // Each of these becomes an equal condition.
    Fields: { success_action_status: '201', 'x-amz-checksum-algorithm': 'SHA256' },
  })
  const form = formFields(fields)
  return { url, fields: form, issuedAt: isoTime(form['x-amz-date']!), expiresAt: policyExpiration(form.policy!) }
}

/**
 * The form's fields by lower case name (S3 reads names without regard to case, our own checks do not).
 *
 * `bucket` is left out: the URL says it, and S3 documents no such field. `key` is the poster's to choose.
 */
function formFields(fields: Record<string, string>): Record<string, string> {
  const entries = Object.entries(fields).map(([name, value]) => [name.toLowerCase(), value] as const)
  return Object.fromEntries(entries.filter(([name]) => name !== 'bucket' && name !== 'key'))
}

/** The client with its clock set to `now`: the library takes the time from there. */
function signingAt(s3: S3Client, now: Date): S3Client {
  const systemClockOffset = now.getTime() - Date.now()
  return { config: { ...s3.config, systemClockOffset } } as S3Client
}

/** The end as the policy says it: whole seconds, and not a second computed here that may be the next one. */
function policyExpiration(policy: string): string {
  const { expiration } = JSON.parse(Buffer.from(policy, 'base64').toString()) as { expiration: string }
  return expiration
}

/** `20261122T100000Z` as `2026-11-22T10:00:00Z`. */
function isoTime(amzDate: string): string {
  return amzDate.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z')
}

function checkTerms({ expiresInSeconds, maxBytes }: PolicyTerms): void {
  if (!Number.isSafeInteger(expiresInSeconds) || expiresInSeconds < 1) {
    throw new PostboxError(
      'bad_argument',
      `a grant cannot last ${expiresInSeconds} seconds`,
      'Use at least one second.',
    )
  }
  // Whole numbers only: S3 calls a fraction in content-length-range invalid JSON.
  if (!Number.isSafeInteger(maxBytes) || maxBytes < 1 || maxBytes > maxObjectBytes) {
    throw new PostboxError('bad_argument', `a part cannot have up to ${maxBytes} bytes`, 'Use 1 byte to 5GiB.')
  }
}
