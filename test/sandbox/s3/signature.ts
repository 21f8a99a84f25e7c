import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { accessDenied, S3Error } from './errors.js'

/** The one pair of keys that this server knows. */
export interface Keys {
  accessKey: string
  secretKey: string
  region: string
}

const ALGORITHM = 'AWS4-HMAC-SHA256'
const hmac = (key: string | Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest()

/** Signature Version 4: `text` signed for a day, a region and S3, in hex. */
export function signature(secretKey: string, day: string, region: string, text: string): string {
  const key = hmac(hmac(hmac(hmac(`AWS4${secretKey}`, day), region), 's3'), 'aws4_request')
  return hmac(key, text).toString('hex')
}

/** Checks a form's signature, which is over the policy text as it was sent. */
export function checkFormSignature(fields: ReadonlyMap<string, string>, keys: Keys): void {
  const algorithm = required(fields, 'x-amz-algorithm', 'X-Amz-Algorithm')
  const credential = required(fields, 'x-amz-credential', 'X-Amz-Credential')
  const date = required(fields, 'x-amz-date', 'X-Amz-Date')
  const given = required(fields, 'x-amz-signature', 'X-Amz-Signature')
  const policy = fields.get('policy')!
  if (algorithm !== ALGORITHM) {
    throw new S3Error(400, 'InvalidArgument', 'X-Amz-Algorithm only supports "AWS4-HMAC-SHA256"')
  }
  const { day } = checkScope(credential, date, keys)
  checkEqual(given, signature(keys.secretKey, day, keys.region, policy), keys, policy)
}

/**
 * Checks a request's Authorization header and returns what it says of the body (`x-amz-content-sha256`).
 *
 * https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
 */
export function checkHeaderSignature(request: IncomingMessage, keys: Keys, now: Date): string {
  const authorization = request.headers.authorization
  if (authorization === undefined) throw accessDenied()
  const parts = /^AWS4-HMAC-SHA256 Credential=([^,\s]+),\s*SignedHeaders=([^,\s]+),\s*Signature=([0-9a-f]{64})$/.exec(
    authorization,
  )
  if (!parts)
    throw new S3Error(400, 'AuthorizationHeaderMalformed', 'The authorization header that you provided is not valid.')
  const [, credential, signedHeaders, given] = parts as unknown as [string, string, string, string]
  const date = String(request.headers['x-amz-date'] ?? '')
  const { day, scope } = checkScope(credential, date, keys)
  checkClock(date, now)
  const payload = String(request.headers['x-amz-content-sha256'] ?? '')
  if (payload === '')
    throw new S3Error(400, 'InvalidRequest', 'Missing required header for this request: x-amz-content-sha256')
  if (!signedHeaders.split(';').includes('host'))
    throw accessDenied('There were headers present in the request which were not signed')
  const canonical = canonicalRequest(request, signedHeaders, payload)
  const digest = createHash('sha256').update(canonical).digest('hex')
  const toSign = [ALGORITHM, date, scope, digest].join('\n')
  checkEqual(given, signature(keys.secretKey, day, keys.region, toSign), keys, toSign)
  return payload
}

function canonicalRequest(request: IncomingMessage, signedHeaders: string, payload: string): string {
  const url = request.url ?? '/'
  const [path, query = ''] = url.includes('?')
    ? [url.slice(0, url.indexOf('?')), url.slice(url.indexOf('?') + 1)]
    : [url]
  // Sorted by name and value as they are encoded; a name without a value counts as empty.
  const pairs = query
    .split('&')
    .filter((pair) => pair !== '')
    .map((pair) => (pair.includes('=') ? pair : `${pair}=`))
  const headers = signedHeaders.split(';').map((name) => {
    const value = request.headers[name]
    const text = Array.isArray(value) ? value.join(',') : (value ?? '')
    return `${name}:${text.trim().replace(/ +/g, ' ')}\n`
  })
  return [request.method, path, pairs.sort().join('&'), headers.join(''), signedHeaders, payload].join('\n')
}

function checkScope(credential: string, date: string, keys: Keys): { day: string; scope: string } {
  const parts = credential.split('/')
  const terminator = parts.pop()
  const service = parts.pop()
  const region = parts.pop()
  const day = parts.pop()
  const accessKey = parts.join('/')
  if (terminator !== 'aws4_request' || service !== 's3' || !day || !date.startsWith(day)) {
    throw new S3Error(
      400,
      'InvalidArgument',
      'Error parsing the X-Amz-Credential parameter; incorrect date, service or terminator.',
    )
  }
  if (region !== keys.region) {
    throw new S3Error(
      400,
      'AuthorizationHeaderMalformed',
      `The authorization header is malformed; the region '${region}' is wrong; expecting '${keys.region}'`,
      { Region: keys.region },
    )
  }
  if (accessKey !== keys.accessKey) {
    throw new S3Error(403, 'InvalidAccessKeyId', 'The AWS Access Key Id you provided does not exist in our records.', {
      AWSAccessKeyId: accessKey,
    })
  }
  return { day, scope: [day, region, service, terminator].join('/') }
}

/** The moment that `20261122T100000Z` names. */
export const parseAmzDate = (date: string): Date =>
  new Date(date.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z'))

/** Refuses a request whose time is more than a quarter of an hour away from ours. */
export function checkClock(date: string, now: Date): void {
  const limit = 15 * 60_000
  if (Math.abs(parseAmzDate(date).getTime() - now.getTime()) <= limit) return
  throw new S3Error(
    403,
    'RequestTimeTooSkewed',
    'The difference between the request time and the current time is too large.',
    {
      RequestTime: date,
      ServerTime: now.toISOString(),
      MaxAllowedSkewMilliseconds: String(limit),
    },
  )
}

function checkEqual(given: string, expected: string, keys: Keys, toSign: string): void {
  const [a, b] = [Buffer.from(given), Buffer.from(expected)]
  if (a.length === b.length && timingSafeEqual(a, b)) return
  throw new S3Error(
    403,
    'SignatureDoesNotMatch',
    'The request signature we calculated does not match the signature you provided. Check your key and signing method.',
    { AWSAccessKeyId: keys.accessKey, StringToSign: toSign, SignatureProvided: given },
  )
}

function required(fields: ReadonlyMap<string, string>, name: string, shown: string): string {
  const value = fields.get(name)
  if (value !== undefined) return value
  throw missingField(shown)
}

/** What S3 says of a form without a field that it must have (or that stands after the file). */
export const missingField = (name: string): S3Error =>
  new S3Error(
    400,
    'InvalidArgument',
    `Bucket POST must contain a field named '${name}'.  If it is specified, please check the order of the fields.`,
    { ArgumentName: name, ArgumentValue: '' },
  )
