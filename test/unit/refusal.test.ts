import { beforeAll, describe, expect, test } from 'vitest'
import type { Posted } from '../../src/box/answer.js'
import { refusal } from '../../src/box/refusal.js'
import type { ErrorCode } from '../../src/errors.js'
import { answer, postedPart, xml } from './box-answer.js'

let posted: Posted
beforeAll(async () => {
  posted = await postedPart()
})

/** Texts as the services are known to write them. */
const TABLE: [service: string, status: number, code: string, message: string, ErrorCode][] = [
  ['AWS', 403, 'AccessDenied', 'Invalid according to Policy: Policy expired.', 'grant_expired'],
  ['Ceph', 403, 'AccessDenied', 'Policy expired', 'grant_expired'],
  ['versitygw', 403, 'AccessDenied', 'Invalid according to Policy: Policy expired.', 'grant_expired'],
  ['RustFS', 403, 'AccessDenied', 'Request has expired', 'grant_expired'],
  ['Garage', 400, 'InvalidRequest', 'Bad request: Expiration date is in the past', 'grant_expired'],
  ['Garage', 400, 'InvalidRequest', 'Bad request: Date is too old', 'grant_expired'],
  ['AWS', 400, 'ExpiredToken', 'The provided token has expired.', 'grant_expired'],
  [
    'AWS',
    403,
    'RequestTimeTooSkewed',
    'The difference between the request time and the current time is too large.',
    'clock_skew',
  ],
  [
    'AWS',
    403,
    'InvalidAccessKeyId',
    'The AWS Access Key Id you provided does not exist in our records.',
    'grant_refused',
  ],
  ['AWS', 400, 'InvalidToken', 'The provided token is malformed or otherwise invalid.', 'grant_refused'],
  [
    'AWS',
    403,
    'SignatureDoesNotMatch',
    'The request signature we calculated does not match the signature you provided.',
    'box_refused',
  ],
  [
    'AWS',
    403,
    'AccessDenied',
    'Invalid according to Policy: Policy Condition failed: ["eq", "$bucket", "b"]',
    'box_refused',
  ],
  ['AWS', 403, 'AccessDenied', 'Invalid according to Policy: Extra input fields: bucket', 'box_refused'],
  [
    'MinIO',
    403,
    'AccessDenied',
    'Each form field that you specify in a form must appear in the list of policy conditions. "a" not specified in the policy.',
    'box_refused',
  ],
  ['RustFS', 400, 'InvalidPolicyDocument', 'Policy condition failed', 'box_refused'],
  ['Garage', 400, 'InvalidRequest', "Bad request: Key 'x' is not allowed in policy", 'box_refused'],
  [
    'Garage',
    400,
    'InvalidRequest',
    "Bad request: Key 'x' is required in policy, but no value was provided",
    'box_refused',
  ],
  ['AWS', 403, 'AccessDenied', 'Access Denied', 'box_refused'],
  ['Ceph', 403, 'AccessDenied', '', 'box_refused'],
  ['AWS', 404, 'NoSuchBucket', 'The specified bucket does not exist', 'box_missing'],
  ['AWS', 400, 'EntityTooLarge', 'Your proposed upload exceeds the maximum allowed size', 'part_too_large'],
  ['AWS', 400, 'EntityTooSmall', 'Your proposed upload is smaller than the minimum allowed size', 'box_refused'],
  [
    'AWS',
    301,
    'PermanentRedirect',
    'The bucket you are attempting to access must be addressed using the specified endpoint.',
    'box_region_wrong',
  ],
  [
    'AWS',
    307,
    'TemporaryRedirect',
    'Please re-send this request to the specified temporary endpoint.',
    'box_region_wrong',
  ],
  [
    'AWS',
    400,
    'AuthorizationHeaderMalformed',
    "The authorization header is malformed; the region 'us-east-1' is wrong; expecting 'eu-west-1'",
    'box_region_wrong',
  ],
  [
    'AWS',
    400,
    'InvalidArgument',
    "Error parsing the X-Amz-Credential parameter; the region 'a' is wrong; expecting 'b'",
    'box_region_wrong',
  ],
  ['AWS', 400, 'IllegalLocationConstraintException', 'The location constraint is incompatible', 'box_region_wrong'],
  ['R2', 501, 'NotImplemented', 'PostObject not implemented', 'box_post_unsupported'],
  [
    'AWS',
    405,
    'MethodNotAllowed',
    'The specified method is not allowed against this resource.',
    'box_post_unsupported',
  ],
  ['AWS', 400, 'BadDigest', 'The SHA256 you specified did not match the calculated checksum.', 'box_damaged'],
  [
    'MinIO',
    400,
    'XAmzContentChecksumMismatch',
    "The provided 'x-amz-checksum' header does not match what was computed.",
    'box_damaged',
  ],
  ['Garage', 400, 'InvalidDigest', 'Invalid digest: Failed to validate checksum', 'box_damaged'],
  ['AWS', 503, 'SlowDown', 'Please reduce your request rate.', 'box_unavailable'],
  ['AWS', 503, 'ServiceUnavailable', 'Service is unable to handle request.', 'box_unavailable'],
  ['AWS', 500, 'InternalError', 'We encountered an internal error. Please try again.', 'box_unavailable'],
  [
    'AWS',
    400,
    'RequestTimeout',
    'Your socket connection to the server was not read from or written to within the timeout period.',
    'box_unavailable',
  ],
  [
    'AWS',
    400,
    'IncompleteBody',
    'You did not provide the number of bytes specified by the Content-Length HTTP header',
    'box_unavailable',
  ],
  ['Ceph', 403, 'QuotaExceeded', '', 'box_unavailable'],
  [
    'MinIO',
    507,
    'XMinioStorageFull',
    'Storage backend has reached its minimum free drive threshold.',
    'box_unavailable',
  ],
  ['any', 520, 'Whatever', 'never heard of', 'box_unavailable'],
  ['AWS', 412, 'PreconditionFailed', 'At least one of the pre-conditions you specified did not hold', 'box_refused'],
  ['AWS', 411, 'MissingContentLength', 'You must provide the Content-Length HTTP header.', 'box_refused'],
  ['AWS', 400, 'AccessControlListNotSupported', 'The bucket does not allow ACLs', 'box_refused'],
  [
    'AWS',
    400,
    'InvalidRequest',
    'Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock parameters',
    'box_refused',
  ],
  ['any', 418, 'Teapot', 'short and stout', 'box_refused'],
]

describe('a refusal', () => {
  test.each(TABLE)('of %s: %i %s "%s" is %s', (_, status, code, message, expected) => {
    const error = refusal(answer(status, xml(code, message)), posted)
    expect(error.code).toBe(expected)
    expect(error.message).toContain('db1/1/x')
    if (message !== '') expect(error.message).toContain(message.slice(0, 40))
    expect(error.hint).toMatch(/[.)}>…]$/)
  })

  test.each([
    [503, '<html>upstream timed out</html>', 'box_unavailable'],
    [502, '', 'box_unavailable'],
    [429, '', 'box_unavailable'],
    [403, '<html>blocked by the proxy</html>', 'box_refused'],
    [404, 'not found', 'box_missing'],
    [413, '<html>413 Request Entity Too Large</html>', 'part_too_large'],
    [501, '', 'box_post_unsupported'],
    [302, '<html>login first</html>', 'box_region_wrong'],
    [400, '', 'box_refused'],
  ])('without XML is told by its status: %i %j is %s', (status, body, code) => {
    expect(refusal(answer(status, body), posted)).toMatchObject({
      code,
      message: expect.stringContaining(body.slice(0, 20)),
    })
  })

  test('that nobody knows is shown as it came, capped', () => {
    const { hint } = refusal(answer(418, xml('Teapot', 'short', `<Detail>${'x'.repeat(5000)}</Detail>`)), posted)
    expect(hint).toContain('<Code>Teapot</Code>')
    expect(hint.length).toBeLessThan(1200)
  })

  test('tells nothing of policy, signature, credential and key', () => {
    const { policy, 'x-amz-signature': signature, 'x-amz-credential': credential } = posted.grant.fields
    const telling = `<AWSAccessKeyId>OTHERKEY</AWSAccessKeyId><StringToSign>${policy!}</StringToSign><SignatureProvided>${signature!}</SignatureProvided>`
    const texts = [
      refusal(
        answer(403, xml('SignatureDoesNotMatch', `no match for ${signature!} of ${credential!}`, telling)),
        posted,
      ),
      refusal(answer(418, xml('Teapot', `${policy!} by POSTBOXKEY`, telling)), posted),
      refusal(answer(400, `plain ${policy!} ${signature!}`), posted),
    ].map(({ message, hint }) => message + hint)
    for (const text of texts) {
      for (const secret of [policy!, signature!, credential!, 'POSTBOXKEY', 'OTHERKEY'])
        expect(text).not.toContain(secret)
      expect(text).toContain('***')
    }
  })

  test('waits as long as Retry-After says, in seconds or as a date by the clock of the box', () => {
    const ms = (headers: Record<string, string>) => refusal(answer(503, '', headers), posted).retryAfterMs
    expect(ms({ 'retry-after': '7' })).toBe(7000)
    expect(ms({ 'retry-after': 'Sun, 22 Nov 2026 10:00:09 GMT', date: 'Sun, 22 Nov 2026 10:00:00 GMT' })).toBe(9000)
    expect(ms({ 'retry-after': '86400' })).toBe(300_000)
    expect(ms({ 'retry-after': 'soon' })).toBeUndefined()
    expect(ms({})).toBeUndefined()
  })

  test('names the region where the bucket is', () => {
    const byBody = refusal(
      answer(400, xml('AuthorizationHeaderMalformed', "expecting 'eu-west-1'", '<Region>eu-west-1</Region>')),
      posted,
    )
    const byHeader = refusal(answer(301, '', { 'x-amz-bucket-region': 'eu-west-2' }), posted)
    expect(byBody.hint).toContain('The bucket is in eu-west-1.')
    expect(byHeader.hint).toContain('The bucket is in eu-west-2.')
  })

  const expired = xml('AccessDenied', 'Invalid according to Policy: Policy expired.')
  const dated = (minutes: number) => ({ date: new Date(posted.now.getTime() + minutes * 60_000).toUTCString() })

  test('as expired is a wrong clock when the grant still holds by ours', () => {
    const ahead = refusal(answer(403, expired, dated(90)), posted)
    expect(ahead).toMatchObject({ code: 'clock_skew', hint: expect.stringMatching(/90 min ahead of this server's/) })
    const tooSkewed = refusal(answer(403, xml('RequestTimeTooSkewed', ''), dated(-180)), posted)
    expect(tooSkewed).toMatchObject({ code: 'clock_skew', hint: expect.stringMatching(/3 h behind this server's/) })
  })

  test('as expired is just that when the clocks agree', () => {
    const over = {
      ...posted,
      grant: { ...posted.grant, expires_at: new Date(posted.now.getTime() - 1000).toISOString() },
    }
    const error = refusal(answer(403, expired, dated(0)), over)
    expect(error.code).toBe('grant_expired')
    expect(error.hint).not.toMatch(/clock/)
  })

  test('as expired, of a grant that holds by both clocks, says that the service allows less', () => {
    const error = refusal(answer(403, expired, dated(0)), posted)
    expect(error).toMatchObject({ code: 'grant_expired', hint: expect.stringContaining('shorten grant_life') })
  })
})
