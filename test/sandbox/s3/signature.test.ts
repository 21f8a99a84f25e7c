import { describe, expect, test } from 'vitest'
import { checkPolicy } from './policy.js'
import { checkFormSignature, signature } from './signature.js'

const secretKey = 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY'
const keys = { accessKey: 'AKIAIOSFODNN7EXAMPLE', secretKey, region: 'us-east-1' }
const credential = 'AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/s3/aws4_request'

/**
 * The example that AWS publishes, its CR LF line ends among what is signed.
 *
 * https://docs.aws.amazon.com/AmazonS3/latest/developerguide/sigv4-post-example.html
 */
const awsPolicy = `{ "expiration": "2015-12-30T12:00:00.000Z",
  "conditions": [
    {"bucket": "sigv4examplebucket"},
    ["starts-with", "$key", "user/user1/"],
    {"acl": "public-read"},
    {"success_action_redirect": "http://sigv4examplebucket.s3.amazonaws.com/successful_upload.html"},
    ["starts-with", "$Content-Type", "image/"],
    {"x-amz-meta-uuid": "14365123651274"},
    {"x-amz-server-side-encryption": "AES256"},
    ["starts-with", "$x-amz-meta-tag", ""],

    {"x-amz-credential": "${credential}"},
    {"x-amz-algorithm": "AWS4-HMAC-SHA256"},
    {"x-amz-date": "20151229T000000Z" }
  ]
}`.replaceAll('\n', '\r\n')
const awsSignature = '8afdbf4008c03f22c2cd3cdb72e4afbb1f6a588f3255ac628749a66d7f09699e'
const base64 = (text: string): string => Buffer.from(text).toString('base64')

const awsForm = (): Map<string, string> =>
  new Map([
    ['key', 'user/user1/photo.jpg'],
    ['acl', 'public-read'],
    ['success_action_redirect', 'http://sigv4examplebucket.s3.amazonaws.com/successful_upload.html'],
    ['content-type', 'image/jpeg'],
    ['x-amz-meta-uuid', '14365123651274'],
    ['x-amz-server-side-encryption', 'AES256'],
    ['x-amz-meta-tag', ''],
    ['x-amz-credential', credential],
    ['x-amz-algorithm', 'AWS4-HMAC-SHA256'],
    ['x-amz-date', '20151229T000000Z'],
    ['policy', base64(awsPolicy)],
    ['x-amz-signature', awsSignature],
  ])

describe('the signature check', () => {
  test('makes the signatures that AWS publishes', () => {
    expect(signature(secretKey, '20151229', 'us-east-1', base64(awsPolicy))).toBe(awsSignature)
    const spaced = `{"expiration": "2015-12-29T01:00:00Z", "conditions": [{"bucket": "sigv4examplebucket"}, {"key": "user/user1/photo.jpg"}, {"x-amz-algorithm": "AWS4-HMAC-SHA256"}, {"x-amz-credential": "${credential}"}, {"x-amz-date": "20151229T000000Z"}]}`
    expect(signature(secretKey, '20151229', 'us-east-1', base64(spaced))).toBe(
      '3364624b39010d9b06f5d9b8c9a18a6e478d261c048159c92f2fd6fa885f14e6',
    )
  })

  test('takes the form that AWS publishes', () => {
    expect(() => {
      checkFormSignature(awsForm(), keys)
    }).not.toThrow()
  })

  test.each([
    ['another policy', 'policy', base64(awsPolicy.replace('user1', 'user2')), 'SignatureDoesNotMatch'],
    ['another signature', 'x-amz-signature', awsSignature.replace('8', '9'), 'SignatureDoesNotMatch'],
    ['another key', 'x-amz-credential', credential.replace('7EXAMPLE', '8EXAMPLE'), 'InvalidAccessKeyId'],
    [
      'another region',
      'x-amz-credential',
      credential.replace('us-east-1', 'eu-west-1'),
      'AuthorizationHeaderMalformed',
    ],
    ['a date outside the scope', 'x-amz-date', '20151230T000000Z', 'InvalidArgument'],
    ['another algorithm', 'x-amz-algorithm', 'AWS4-HMAC-SHA1', 'InvalidArgument'],
  ])('refuses %s', (_, name, value, code) => {
    expect(() => {
      checkFormSignature(awsForm().set(name, value), keys)
    }).toThrow(expect.objectContaining({ code }))
  })

  test.each(['x-amz-algorithm', 'x-amz-credential', 'x-amz-date', 'x-amz-signature'])('asks for %s', (name) => {
    const form = awsForm()
    form.delete(name)
    expect(() => {
      checkFormSignature(form, keys)
    }).toThrow(
      expect.objectContaining({ code: 'InvalidArgument', message: expect.stringMatching(/must contain a field/) }),
    )
  })
})

describe('the policy check', () => {
  const before = new Date('2015-12-30T11:59:59Z')
  const check = (form: Map<string, string>, now = before) => checkPolicy(form, 'sigv4examplebucket', now)

  test('takes the form that AWS publishes, until it expires', () => {
    expect(() => check(awsForm())).not.toThrow()
    expect(() => check(awsForm(), new Date('2015-12-30T12:00:00Z'))).toThrow(
      'Invalid according to Policy: Policy expired.',
    )
  })

  test('refuses another bucket', () => {
    expect(() => checkPolicy(awsForm(), 'other', before)).toThrow(
      'Invalid according to Policy: Policy Condition failed: ["eq", "$bucket", "sigv4examplebucket"]',
    )
  })

  test.each([
    [
      'a value that differs',
      'x-amz-meta-uuid',
      '1',
      'Policy Condition failed: ["eq", "$x-amz-meta-uuid", "14365123651274"]',
    ],
    ['another case of a value', 'acl', 'Public-Read', 'Policy Condition failed'],
    [
      'a key outside the prefix',
      'key',
      'user/user2/x',
      'Policy Condition failed: ["starts-with", "$key", "user/user1/"]',
    ],
    ['one content type of several that differs', 'content-type', 'image/png,text/plain', 'Policy Condition failed'],
    ['a field without a condition', 'x-amz-storage-class', 'GLACIER', 'Extra input fields: x-amz-storage-class'],
  ])('refuses %s', (_, name, value, message) => {
    expect(() => check(awsForm().set(name, value))).toThrow(`Invalid according to Policy: ${message}`)
  })

  test('refuses a form without a field that may have any value', () => {
    const form = awsForm()
    form.delete('x-amz-meta-tag')
    expect(() => check(form)).toThrow('Policy Condition failed: ["starts-with", "$x-amz-meta-tag", ""]')
  })

  test('takes a field that is to be ignored', () => {
    expect(() => check(awsForm().set('x-ignore-me', 'x'))).not.toThrow()
  })

  test.each([
    ['no JSON', '{"expiration"'],
    ['no expiration', '{"conditions": []}'],
    ['an expiration with an offset', '{"expiration": "2015-12-30T12:00:00+01:00", "conditions": []}'],
    ['an expiration without a zone', '{"expiration": "2015-12-30T12:00:00", "conditions": []}'],
    ['two fields in one condition', '{"expiration": "2015-12-30T12:00:00Z", "conditions": [{"a": "b", "c": "d"}]}'],
    ['an unknown operator', '{"expiration": "2015-12-30T12:00:00Z", "conditions": [["ends-with", "$key", "x"]]}'],
    [
      'a fraction in a range',
      '{"expiration": "2015-12-30T12:00:00Z", "conditions": [["content-length-range", 1, 1.5]]}',
    ],
  ])('calls %s an invalid policy', (_, policy) => {
    expect(() => check(awsForm().set('policy', base64(policy)))).toThrow(
      expect.objectContaining({ code: 'InvalidPolicyDocument', status: 400 }),
    )
  })

  test('refuses a policy that names no bucket', () => {
    const policy = base64('{"expiration": "2015-12-30T12:00:00Z", "conditions": [["starts-with", "$key", ""]]}')
    expect(() =>
      check(
        new Map([
          ['key', 'a'],
          ['policy', policy],
        ]),
      ),
    ).toThrow('Extra input fields: bucket')
  })
})
