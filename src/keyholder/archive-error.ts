import { PostboxError } from '../errors.js'

/** What an error of the AWS SDK says, read without trusting its shape. */
interface Refusal {
  name: string
  message: string
  status: number | null
  /** the region that the bucket is in, where the service names it */
  region: string | null
}

const RIGHTS = 's3:ListBucket, s3:ListBucketVersions, s3:GetObject and s3:GetObjectVersion'

/** Network errors of Node and of the SDK; everything else without a status is not the archive's fault. */
const NETWORK =
  /^(TimeoutError|AbortError|NetworkingError|RequestTimeout|RequestTimeoutException|E[A-Z_]+|ERR_SSL.*|.*CERT.*)$/

/**
 * An error of the AWS SDK as ours. `doing` completes "the archive … while", such as `listing db1/`.
 *
 * `archive_unavailable` when trying again may help, `object_missing` for a key that is not there, `archive_refused` for
 * the rest.
 */
export function archiveError(thrown: unknown, bucket: string, doing: string): PostboxError {
  if (thrown instanceof PostboxError) return thrown
  const refusal = readRefusal(thrown)
  const error = (code: 'archive_refused' | 'archive_unavailable' | 'object_missing', what: string, hint: string) =>
    new PostboxError(code, `${what} (${doing} in bucket ${bucket})`, hint, { cause: thrown })

  const { name, status, message } = refusal
  if (name === 'NoSuchBucket') {
    return error('archive_refused', 'there is no such bucket', 'Check POSTBOX_BUCKET and POSTBOX_S3_ENDPOINT.')
  }
  if (name === 'NoSuchKey' || name === 'NoSuchVersion' || name === 'NotFound' || status === 404) {
    return error('object_missing', 'the object is not there', 'Somebody may have deleted it; see "postbox list".')
  }
  if (status === 301 || name === 'PermanentRedirect' || name === 'AuthorizationHeaderMalformed') {
    const region = refusal.region === null ? '' : `: it is in ${refusal.region}`
    return error('archive_refused', `the bucket is in another region${region}`, 'Set POSTBOX_S3_REGION to it.')
  }
  if (name === 'RequestTimeTooSkewed') {
    return error('archive_refused', "this machine's clock differs from the archive's", 'Set this clock right.')
  }
  if (name === 'InvalidAccessKeyId' || name === 'SignatureDoesNotMatch' || /Expired|InvalidToken/.test(name)) {
    return error('archive_refused', `the S3 key was not accepted: ${name}`, 'Check the S3 key that the AWS SDK finds.')
  }
  if (status === 403 || status === 401) {
    return error('archive_refused', `the S3 key may not do that: ${name}`, `It needs ${RIGHTS} for this bucket.`)
  }
  if (name === 'CredentialsProviderError') {
    const hint = 'Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or another source that the AWS SDK knows.'
    return error('archive_refused', `no S3 key was found: ${message}`, hint)
  }
  if ((status !== null && (status >= 500 || status === 429 || status === 408)) || isNetworkError(thrown, name)) {
    const hint = 'Check the network and the S3 service, then run the same again.'
    return error('archive_unavailable', `the archive does not answer: ${message || name}`, hint)
  }
  return error('archive_refused', `the archive refused: ${name}: ${message}`, 'Check the bucket and the S3 service.')
}

/** Node's errors carry `code`; an AggregateError of several addresses carries them one by one. */
function isNetworkError(thrown: unknown, name: string): boolean {
  const code = (thrown as { code?: unknown } | null)?.code
  if (typeof code === 'string' && NETWORK.test(code)) return true
  if (thrown instanceof AggregateError) return thrown.errors.some((one) => isNetworkError(one, ''))
  return NETWORK.test(name)
}

function readRefusal(thrown: unknown): Refusal {
  const error = (thrown ?? {}) as {
    name?: unknown
    message?: unknown
    Region?: unknown
    $metadata?: { httpStatusCode?: unknown }
    $response?: { headers?: Record<string, string> }
  }
  const status = error.$metadata?.httpStatusCode
  const region = error.Region ?? error.$response?.headers?.['x-amz-bucket-region']
  return {
    name: typeof error.name === 'string' ? error.name : 'unknown',
    message: typeof error.message === 'string' ? error.message : '',
    status: typeof status === 'number' && status > 0 ? status : null,
    region: typeof region === 'string' ? region : null,
  }
}
