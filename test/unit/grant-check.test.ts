import { beforeAll, describe, expect, test } from 'vitest'
import { checkGrant } from '../../src/box/grant-check.js'
import type { Grant } from '../../src/box/grant.js'
import { PostboxError } from '../../src/errors.js'
import { makeGrant } from '../sandbox/s3/test-grant.js'

const s3 = { endpoint: 'http://127.0.0.1:1', region: 'us-east-1', accessKey: 'POSTBOXKEY', secretKey: 'SK' } as const
const now = new Date()
type Condition = Record<string, string> | [string, string | number, string | number]
interface Policy {
  expiration: string
  conditions: Condition[]
}

let good: Grant
beforeAll(async () => {
  good = await makeGrant(s3, { server: 'db1', bucket: 'b' })
})

const encode = (policy: unknown): string => Buffer.from(JSON.stringify(policy)).toString('base64')
const nameOf = (condition: Condition): string =>
  (Array.isArray(condition) ? String(condition[1]).replace('$', '') : Object.keys(condition)[0]!).toLowerCase()

/** The good grant with another policy; nobody checks the signature on this side. */
function withPolicy(change: (policy: Policy) => unknown): Grant {
  const policy = JSON.parse(Buffer.from(good.fields['policy']!, 'base64').toString()) as Policy
  return withField('policy', encode(change(policy) ?? policy))
}

const withField = (name: string, value: string): Grant => ({ ...good, fields: { ...good.fields, [name]: value } })

function refusal(value: unknown, server: string | null = 'db1'): PostboxError {
  try {
    checkGrant(value, server, now)
  } catch (error) {
    if (error instanceof PostboxError) return error
    throw error
  }
  throw new Error('the grant was not refused')
}

describe('a grant', () => {
  test('as it is signed is good, for its server and where the server is not known yet', () => {
    expect(checkGrant(good, 'db1', now)).toEqual(good)
    expect(checkGrant(JSON.parse(JSON.stringify(good)), null, now)).toEqual(good)
  })

  test('may hold a session token and a storage class that its policy pins', () => {
    const more = { 'x-amz-security-token': 'token', 'x-amz-storage-class': 'STANDARD_IA' }
    const grant = withPolicy(({ conditions }) => {
      for (const [name, value] of Object.entries(more)) conditions.push({ [name]: value })
    })
    const full = { ...grant, fields: { ...grant.fields, ...more } }
    expect(checkGrant(full, 'db1', now)).toEqual(full)
  })

  test('may leave the bucket out of its fields', () => {
    const { bucket, ...fields } = good.fields
    expect(bucket).toBe('b')
    expect(checkGrant({ ...good, fields }, 'db1', now).fields).toEqual(fields)
  })

  test('that has ended is expired, to the second', () => {
    const ends = new Date(good.expires_at)
    expect(() => checkGrant(good, 'db1', new Date(ends.getTime() - 1))).not.toThrow()
    expect(() => checkGrant(good, 'db1', ends)).toThrow(expect.objectContaining({ code: 'grant_expired' }))
  })

  test('for another server is refused', () => {
    expect(refusal(good, 'db2')).toMatchObject({
      code: 'grant_invalid',
      message: expect.stringContaining('for db1 and not for db2'),
    })
  })

  test.each([null, 'x', 7, [], {}, { postbox_grant: 2 }])('that is %j is refused', (value) => {
    expect(refusal(value).code).toBe('grant_invalid')
  })

  const shapes: [string, (grant: Grant) => unknown, RegExp][] = [
    ['without fields', (grant) => ({ ...grant, fields: undefined }), /fields/],
    ['of another format', (grant) => ({ ...grant, postbox_grant: 2 }), /postbox_grant/],
    ['whose url is no url', (grant) => ({ ...grant, url: 'b' }), /url/],
    ['whose url is a file', (grant) => ({ ...grant, url: 'file:///etc/passwd' }), /url/],
    ['whose url has a query', (grant) => ({ ...grant, url: `${grant.url}?acl` }), /url has more/],
    ['whose url has a password', (grant) => ({ ...grant, url: grant.url.replace('//', '//a:b@') }), /url has more/],
    ['whose prefix is wider than its server', (grant) => ({ ...grant, key_prefix: 'db' }), /key_prefix/],
    ['whose server is no server name', (grant) => ({ ...grant, server: '../x', key_prefix: '../x/' }), /server name/],
    [
      'whose end is not that of its policy',
      (grant) => ({ ...grant, expires_at: '2099-01-01T00:00:00Z' }),
      /does not end at expires_at/,
    ],
    ['whose limit is not that of its policy', (grant) => ({ ...grant, max_part_bytes: 1 }), /content-length-range/],
    ['for another bucket than its policy', (grant) => ({ ...grant, bucket: 'c' }), /condition for bucket/],
  ]
  test.each(shapes)('%s is refused', (_, change, reason) => {
    const server = (change(good) as Grant).server === '../x' ? null : 'db1'
    expect(refusal(change(good), server)).toMatchObject({
      code: 'grant_invalid',
      message: expect.stringMatching(reason),
    })
  })

  test.each([
    ['policy', '', /policy is missing/],
    ['policy', 'bm8ganNvbg==', /not JSON/],
    ['policy', encode({ conditions: [] }), /malformed at expiration/],
    ['x-amz-signature', 'abc', /not 64 hex digits/],
    ['x-amz-algorithm', 'AWS4-HMAC-SHA1', /not AWS4-HMAC-SHA256/],
    ['x-amz-credential', 'other', /condition for x-amz-credential/],
    ['x-amz-date', '20200101T000000Z', /condition for x-amz-date/],
    ['x-amz-checksum-algorithm', 'CRC32', /condition for x-amz-checksum-algorithm/],
    ['success_action_status', '204', /not 201/],
    ['acl', 'public-read', /acl is not allowed/],
    ['tagging', 'x', /tagging is not allowed/],
    ['success_action_redirect', 'http://x', /not allowed/],
    ['x-amz-meta-a', 'b', /no condition for x-amz-meta-a/],
    ['key', 'db1/x', /poster's to fill/],
    ['X-Upper', 'x', /lower case/],
    ['x-amz-meta-a', 'b\r\nc', /control character/],
  ])('whose field %s is %j is refused', (name, value, reason) => {
    expect(refusal(withField(name, value))).toMatchObject({
      code: 'grant_invalid',
      message: expect.stringMatching(reason),
    })
  })

  test.each([
    ...['bucket', 'key', 'x-amz-checksum-sha256', 'content-type', 'x-amz-checksum-algorithm', 'success_action_status'],
    ...['x-amz-algorithm', 'x-amz-credential', 'x-amz-date'],
  ])('whose policy has no condition for %s is refused', (name) => {
    const grant = withPolicy((policy) => ({
      ...policy,
      conditions: policy.conditions.filter((one) => nameOf(one) !== name),
    }))
    expect(refusal(grant)).toMatchObject({ message: expect.stringContaining(`no condition for ${name}`) })
  })

  const policies: [string, (policy: Policy) => unknown, RegExp][] = [
    [
      'has no limit of size',
      ({ conditions }) =>
        void conditions.splice(
          conditions.findIndex((one) => Array.isArray(one) && one[0] === 'content-length-range'),
          1,
        ),
      /content-length-range/,
    ],
    [
      'asks for two bytes at least',
      ({ conditions }) =>
        void ((conditions.find((one) => Array.isArray(one) && one[0] === 'content-length-range') as unknown[])[1] = 2),
      /content-length-range/,
    ],
    [
      'allows any key',
      ({ conditions }) => void ((conditions.find((one) => nameOf(one) === 'key') as unknown[])[2] = ''),
      /condition for key/,
    ],
    [
      'allows one key',
      ({ conditions }) => void ((conditions.find((one) => nameOf(one) === 'key') as unknown[])[0] = 'eq'),
      /condition for key/,
    ],
    [
      'pins the checksum',
      ({ conditions }) =>
        void ((conditions.find((one) => nameOf(one) === 'x-amz-checksum-sha256') as unknown[])[2] = 'x'),
      /condition for x-amz-checksum-sha256/,
    ],
    ['allows an acl', ({ conditions }) => void conditions.push({ acl: 'private' }), /allows acl/],
    [
      'allows a redirect',
      ({ conditions }) => void conditions.push(['starts-with', '$success_action_redirect', '']),
      /allows success_action_redirect/,
    ],
    ['allows tags', ({ conditions }) => void conditions.push(['starts-with', '$tagging', '']), /allows tagging/],
    [
      'asks for a field that is not there',
      ({ conditions }) => void conditions.push(['starts-with', '$x-amz-meta-a', '']),
      /asks for x-amz-meta-a/,
    ],
    ['says one thing twice', ({ conditions }) => void conditions.push({ Bucket: 'b' }), /two conditions for bucket/],
    [
      'ends by local time',
      (policy) => ({ ...policy, expiration: '2099-01-01T00:00:00+01:00' }),
      /malformed at expiration/,
    ],
    [
      'names two fields in one condition',
      ({ conditions }) => void conditions.push({ a: 'b', c: 'd' }),
      /not exactly one field/,
    ],
    [
      'has an unknown operator',
      ({ conditions }) => void conditions.push(['ends-with', '$key', 'x']),
      /malformed at conditions/,
    ],
  ]
  test.each(policies)('whose policy %s is refused', (_, change, reason) => {
    expect(refusal(withPolicy(change))).toMatchObject({ code: 'grant_invalid', message: expect.stringMatching(reason) })
  })

  test('is never told in the message that refuses it', () => {
    const secrets = [good.fields['policy']!, good.fields['x-amz-signature']!, good.fields['x-amz-credential']!]
    const values = [
      withField('x-amz-meta-a', 'b'),
      { ...good, bucket: 'c' },
      { ...good, fields: 7 },
      { ...good, url: 'x' },
    ]
    for (const value of values) {
      const { message, hint } = refusal(value)
      for (const secret of secrets) expect(message + hint).not.toContain(secret)
    }
  })
})
