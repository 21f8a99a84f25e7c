import { PostboxError, type ErrorCode } from '../errors.js'
import type { Answer, Posted } from './answer.js'
import { clockSkewMs, describeSkew } from './clock-skew.js'
import { redact } from './redact.js'
import { retryAfterMs } from './retry-after.js'
import { elementText } from './xml.js'

/** An error answer as the rules see it. */
interface Refused {
  status: number
  /** S3's error code, empty when the body has none */
  code: string
  message: string
}

interface Rule {
  /** any of these S3 error codes */
  codes?: readonly string[]
  statuses?: readonly number[]
  /** a text that some service uses; beside `codes` or `statuses` it is one more way to match */
  text?: RegExp
  code: ErrorCode
  hint: string
}

/**
 * What an error means to us, first match first: by S3's code, by texts that services are known to use, by status.
 *
 * Services agree on little: a failed condition is 403 AccessDenied on AWS, Ceph and MinIO, 400 InvalidPolicyDocument on
 * RustFS and 400 InvalidRequest on Garage; Ceph answers AccessDenied to a wrong signature as well. So no rule needs one
 * exact sentence, and an error that none of them knows is permanent and shown as it came.
 */
const RULES: readonly Rule[] = [
  {
    // AWS, Ceph and versitygw; RustFS; Garage, whose second text is of a signature older than a day.
    text: /policy expired|request has expired|expiration date is in the past|date is too old/i,
    codes: ['ExpiredToken', 'TokenRefreshRequired'],
    code: 'grant_expired',
    hint: 'Postbox asks the issuer for a newer grant; without an issuer run "postbox grant" and install what it prints.',
  },
  {
    codes: ['RequestTimeTooSkewed', 'RequestExpired'],
    text: /too skewed|time (?:is|are) too (?:large|far)|difference between the request time and the current time/i,
    code: 'clock_skew',
    hint: 'Set the clocks of the keyholder and of this server right (NTP). Some services also refuse a grant that was signed too long ago: shorten grant_life.',
  },
  {
    codes: ['InvalidAccessKeyId', 'InvalidToken', 'InvalidClientTokenId', 'AccountProblem'],
    text: /invalid access key|no such (?:access )?key id/i,
    code: 'grant_refused',
    hint: 'The S3 key that signed the grant is gone or disabled: make a new grant with a key that works.',
  },
  {
    codes: ['SignatureDoesNotMatch'],
    code: 'box_refused',
    hint: 'The grant was changed after it was signed, or signed with a wrong secret key: install a new one, unchanged.',
  },
  {
    codes: ['NoSuchBucket'],
    code: 'box_missing',
    hint: 'Create the bucket, or sign grants for one that exists.',
  },
  {
    codes: ['PermanentRedirect', 'TemporaryRedirect', 'Redirect', 'IllegalLocationConstraintException'],
    statuses: [301, 302, 303, 307, 308],
    text: /the region '[^']*' is wrong|expecting '[a-z0-9-]+'|must be addressed using the specified endpoint/i,
    code: 'box_region_wrong',
    hint: "Sign grants with the bucket's own region and endpoint (POSTBOX_S3_REGION, POSTBOX_S3_ENDPOINT).",
  },
  {
    codes: ['EntityTooLarge', 'MaxMessageLengthExceeded'],
    statuses: [413],
    code: 'part_too_large',
    hint: 'Sign grants with a larger --max-part-bytes, or make part_bytes smaller.',
  },
  {
    codes: ['NotImplemented', 'MethodNotAllowed'],
    statuses: [405, 501],
    code: 'box_post_unsupported',
    hint: 'Postbox needs POST policy uploads, which this service or this URL does not take (Cloudflare R2 and Backblaze B2 do not).',
  },
  {
    codes: ['BadDigest', 'InvalidDigest', 'XAmzContentChecksumMismatch', 'XAmzContentSHA256Mismatch'],
    text: /checksum.*(?:did not|does not|doesn't) match|checksum mismatch|invalid digest/i,
    code: 'box_damaged',
    hint: 'Bytes changed between this worker and the box. If it happens again suspect memory, network card or a proxy.',
  },
  {
    codes: [
      'QuotaExceeded',
      'XMinioStorageFull',
      'XMinioAdminBucketQuotaExceeded',
      'StorageFull',
      'InsufficientStorage',
    ],
    statuses: [507],
    code: 'box_unavailable',
    hint: 'The box is full: give it room or raise its quota. Postbox goes on by itself.',
  },
  {
    codes: [
      ...['SlowDown', 'SlowDownWrite', 'Throttling', 'TooManyRequests', 'RequestTimeout', 'IncompleteBody'],
      ...['InternalError', 'ServiceUnavailable', 'OperationAborted'],
    ],
    statuses: [408, 425, 429],
    code: 'box_unavailable',
    hint: 'Postbox tries again by itself; see whether S3 and the network are well if it goes on.',
  },
  {
    text: /policy condition failed|extra input fields|must appear in the list of policy conditions|not (?:allowed|specified) in (?:the )?policy|required in policy/i,
    codes: ['InvalidPolicyDocument'],
    code: 'box_refused',
    hint: 'The grant does not allow what Postbox posts: sign it with "postbox grant" of the same version, and install it unchanged.',
  },
  {
    codes: ['AccessDenied', 'AllAccessDisabled'],
    statuses: [401, 403],
    code: 'box_refused',
    hint:
      'The signing key may not write there (its policy, the bucket policy or a KMS key), or the grant was changed. ' +
      'Ceph says AccessDenied alike for a wrong signature, an unknown key and a condition that failed.',
  },
  {
    statuses: [404],
    code: 'box_missing',
    hint: "There is no bucket at the grant's URL: check endpoint and bucket, and sign a new grant.",
  },
]

/** An answer that is no success, as the error that it means. Its text is capped and free of secrets. */
export function refusal(answer: Answer, { part, grant, now }: Posted): PostboxError {
  const refused = readRefused(answer)
  const rule = RULES.find((one) => matches(one, refused))
  const said = redact(refused.message || answer.body.trim(), grant).slice(0, 500)
  const named = [refused.code, said].filter((text) => text !== '').join(': ')
  const told = `${part.key} was refused with ${answer.status}${named === '' ? '' : `: ${named}`}`
  if (!rule) return unknown(answer, told, redact(answer.body, grant))
  const region = elementText(answer.body, 'Region') ?? answer.headers['x-amz-bucket-region']
  const where =
    rule.code === 'box_region_wrong' && region ? ` The bucket is in ${redact(region, grant).slice(0, 60)}.` : ''
  const code = rule.code === 'grant_expired' ? expiredOrSkewed(answer, grant.expires_at, now) : rule.code
  const clock =
    rule.code === 'grant_expired' || rule.code === 'clock_skew' ? describeSkew(answer, grant.expires_at, now) : ''
  return new PostboxError(code, told, rule.hint + where + clock, retryAfter(answer, now))
}

function readRefused({ status, body }: Answer): Refused {
  return { status, code: elementText(body, 'Code') ?? '', message: elementText(body, 'Message') ?? '' }
}

function matches(rule: Rule, { status, code, message }: Refused): boolean {
  if (rule.codes?.includes(code)) return true
  if (rule.text?.test(message)) return true
  // An XML error says more than its status: a 403 with a code that is known is that code's affair.
  return rule.statuses?.includes(status) ?? false
}

/** The box says that the grant is over. When only its clock says so, the clocks are what is wrong. */
function expiredOrSkewed(answer: Answer, expiresAt: string, now: Date): ErrorCode {
  const skew = clockSkewMs(answer, now)
  const validHere = Date.parse(expiresAt) > now.getTime()
  return validHere && skew !== null && Math.abs(skew) >= 60_000 ? 'clock_skew' : 'grant_expired'
}

function unknown(answer: Answer, told: string, body: string): PostboxError {
  const { status } = answer
  if (status >= 500) {
    return new PostboxError('box_unavailable', told, 'Postbox tries again by itself.', retryAfter(answer, new Date()))
  }
  if (status < 400) {
    return new PostboxError(
      'box_answer_wrong',
      told,
      'See what stands between the worker and S3: a proxy, or a service that is not quite S3.',
    )
  }
  // Permanent until someone looks: shown as it came.
  return new PostboxError('box_refused', told, `Postbox does not know this answer: ${body.slice(0, 1000)}`)
}

function retryAfter(answer: Answer, now: Date): { retryAfterMs?: number } {
  const ms = retryAfterMs(answer, now)
  return ms === null ? {} : { retryAfterMs: ms }
}
