import { S3Client, type S3ClientConfig } from '@aws-sdk/client-s3'
import { describe, expect, test } from 'vitest'
import { Grant } from '../../src/box/grant.js'
import { checkGrant } from '../../src/box/grant-check.js'
import { openS3 } from '../../src/keyholder/s3-client.js'
import { signGrant, signUpload, type SignOptions } from '../../src/keyholder/sign.js'
import { decodePolicy, policySignature } from '../sandbox/verify-policy.js'

const secretAccessKey = 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY'
const accessKeyId = 'AKIAIOSFODNN7EXAMPLE'
const now = new Date('2026-11-22T10:00:00.400Z')
const hour = 3600

/** The example that AWS publishes, byte for byte, line ends included. */
const awsExample = [
  '{ "expiration": "2015-12-30T12:00:00.000Z",',
  '  "conditions": [',
  '    {"bucket": "sigv4examplebucket"},',
  '    ["starts-with", "$key", "user/user1/"],',
  '    {"acl": "public-read"},',
  '    {"success_action_redirect": "http://sigv4examplebucket.s3.amazonaws.com/successful_upload.html"},',
  '    ["starts-with", "$Content-Type", "image/"],',
  '    {"x-amz-meta-uuid": "14365123651274"},',
  '    {"x-amz-server-side-encryption": "AES256"},',
  '    ["starts-with", "$x-amz-meta-tag", ""],',
  '',
  '    {"x-amz-credential": "AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/s3/aws4_request"},',
  '    {"x-amz-algorithm": "AWS4-HMAC-SHA256"},',
  '    {"x-amz-date": "20151229T000000Z" }',
  '  ]',
  '}',
].join('\r\n')

const oneLineExample =
  '{"expiration": "2015-12-29T01:00:00Z", "conditions": [{"bucket": "sigv4examplebucket"}, ' +
  '{"key": "user/user1/photo.jpg"}, {"x-amz-algorithm": "AWS4-HMAC-SHA256"}, ' +
  '{"x-amz-credential": "AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/s3/aws4_request"}, ' +
  '{"x-amz-date": "20151229T000000Z"}]}'

function client(overrides: S3ClientConfig = {}): S3Client {
  const config = { bucket: 'b', endpoint: null, region: 'eu-west-1', pathStyle: false, caFile: null }
  return openS3(config, { credentials: { accessKeyId, secretAccessKey }, ...overrides })
}

function sign(options: Partial<SignOptions> = {}): Promise<Grant> {
  const usual = { s3: client(), bucket: 'acme-backups', server: 'db1', maxPartBytes: 1000, expiresInSeconds: hour, now }
  return signGrant({ ...usual, ...options })
}

function temporary(expiration?: Date): S3Client {
  return client({
    credentials: { accessKeyId, secretAccessKey, sessionToken: 'session/token+=', ...(expiration && { expiration }) },
  })
}

describe('the check of signatures in these tests', () => {
  test.each([
    ['AWS’s own example', awsExample, '8afdbf4008c03f22c2cd3cdb72e4afbb1f6a588f3255ac628749a66d7f09699e'],
    ['a one-line policy', oneLineExample, '3364624b39010d9b06f5d9b8c9a18a6e478d261c048159c92f2fd6fa885f14e6'],
  ])('agrees with the published signature of %s', (_, policy, signature) => {
    const scope = { secretKey: secretAccessKey, date: '20151229', region: 'us-east-1' }
    expect(policySignature(Buffer.from(policy).toString('base64'), scope)).toBe(signature)
  })
})

describe('a grant', () => {
  test('carries the signature of its own policy', async () => {
    const { fields } = await sign()
    const scope = { secretKey: secretAccessKey, date: '20261122', region: 'eu-west-1' }
    expect(fields['x-amz-signature']).toBe(policySignature(fields['policy']!, scope))
  })

  test('allows exactly what Postbox posts: each condition by name', async () => {
    const { fields } = await sign()
    const { expiration, conditions } = decodePolicy(fields['policy']!)
    expect(expiration).toBe('2026-11-22T11:00:00Z')
    const credential = `${accessKeyId}/20261122/eu-west-1/s3/aws4_request`
    const expected = [
      { bucket: 'acme-backups' },
      ['starts-with', '$key', 'db1/'],
      ['content-length-range', 1, 1000],
      { success_action_status: '201' },
      { 'x-amz-checksum-algorithm': 'SHA256' },
      ['starts-with', '$x-amz-checksum-sha256', ''],
      ['starts-with', '$content-type', ''],
      { 'X-Amz-Algorithm': 'AWS4-HMAC-SHA256' },
      { 'X-Amz-Credential': credential },
      { 'X-Amz-Date': '20261122T100000Z' },
    ]
    expect(conditions).toHaveLength(expected.length)
    expect(conditions).toEqual(expect.arrayContaining(expected))
  })

  test('has the form’s fixed fields by lower case name, and none that is the poster’s', async () => {
    const { fields } = await sign()
    expect(Object.keys(fields).sort()).toEqual([
      'policy',
      'success_action_status',
      'x-amz-algorithm',
      'x-amz-checksum-algorithm',
      'x-amz-credential',
      'x-amz-date',
      'x-amz-signature',
    ])
  })

  test('says of itself what its policy says', async () => {
    const grant = await sign()
    expect(Grant.parse(grant)).toEqual(grant)
    expect(grant).toMatchObject({
      server: 'db1',
      bucket: 'acme-backups',
      key_prefix: 'db1/',
      max_part_bytes: 1000,
      issued_at: '2026-11-22T10:00:00Z',
      expires_at: '2026-11-22T11:00:00Z',
    })
  })

  test('passes the check that the worker makes of it', async () => {
    const grant = await sign({ s3: temporary(new Date('2026-11-23T10:00:00Z')) })
    expect(checkGrant(JSON.parse(JSON.stringify(grant)), 'db1', now)).toEqual(grant)
  })

  test('never holds the secret key', async () => {
    expect(JSON.stringify(await sign())).not.toContain(secretAccessKey)
  })

  test.each<[string, S3ClientConfig, string, string]>([
    ['the region’s own host on AWS', {}, 'acme-backups', 'https://acme-backups.s3.eu-west-1.amazonaws.com/'],
    [
      'the region’s own host even in us-east-1',
      { region: 'us-east-1' },
      'acme',
      'https://acme.s3.us-east-1.amazonaws.com/',
    ],
    ['the path where TLS forbids a dotted host', {}, 'acme.backups', 'https://s3.eu-west-1.amazonaws.com/acme.backups'],
    [
      'the path of another service',
      { endpoint: 'https://s3.example.com:9000', forcePathStyle: true },
      'acme',
      'https://s3.example.com:9000/acme',
    ],
  ])('is posted to %s', async (_, overrides, bucket, url) => {
    const region = 'eu-west-1'
    expect((await sign({ s3: client({ region, ...overrides }), bucket })).url).toBe(url)
  })

  test.each(['../db2', 'db1/', '', 'a b', '${filename}'])('is not signed for a server called "%s"', async (server) => {
    await expect(sign({ server })).rejects.toMatchObject({ code: 'bad_argument' })
  })

  test.each([0, -1, 1.5, Number.NaN, 5 * 1024 ** 3 + 1])(
    'is not signed for parts of %d bytes',
    async (maxPartBytes) => {
      await expect(sign({ maxPartBytes })).rejects.toMatchObject({ code: 'bad_argument' })
    },
  )

  test.each([0, -5, 0.5, Number.NaN])('does not last %d seconds', async (expiresInSeconds) => {
    await expect(sign({ expiresInSeconds })).rejects.toMatchObject({ code: 'bad_argument' })
  })

  test('reads its time from what the client learned of S3’s clock', async () => {
    const before = Date.now()
    const { s3, bucket } = { s3: client({ systemClockOffset: -2 * hour * 1000 }), bucket: 'acme' }
    const { issued_at } = await signGrant({ s3, bucket, server: 'db1', maxPartBytes: 1, expiresInSeconds: hour })
    expect(Date.parse(issued_at)).toBeLessThanOrEqual(Date.now() - 2 * hour * 1000)
    expect(Date.parse(issued_at)).toBeGreaterThan(before - 2 * hour * 1000 - 1000)
  })
})

describe('the life of a grant', () => {
  async function warningsOf(options: Partial<SignOptions>): Promise<{ grant: Grant; warnings: string[] }> {
    const warnings: string[] = []
    const grant = await sign({ ...options, warn: (message) => void warnings.push(message) })
    return { grant, warnings }
  }

  test('of 24 hours draws no warning, a second more does', async () => {
    expect((await warningsOf({ expiresInSeconds: 24 * hour })).warnings).toEqual([])
    expect((await warningsOf({ expiresInSeconds: 24 * hour + 1 })).warnings).toEqual([expect.stringContaining('24h')])
  })

  test('ends at seven days unless forced', async () => {
    const week = 7 * 24 * hour
    expect((await warningsOf({ expiresInSeconds: week })).grant.expires_at).toBe('2026-11-29T10:00:00Z')
    await expect(sign({ expiresInSeconds: week + 1 })).rejects.toMatchObject({ code: 'bad_argument' })
    expect((await warningsOf({ expiresInSeconds: week + 1, force: true })).grant.expires_at).toBe(
      '2026-11-29T10:00:01Z',
    )
  })

  test('is cut to that of a temporary key, with a warning', async () => {
    const s3 = temporary(new Date('2026-11-22T10:30:00Z'))
    const { grant, warnings } = await warningsOf({ s3 })
    expect(Date.parse(grant.expires_at)).toBeLessThanOrEqual(Date.parse('2026-11-22T10:30:00Z'))
    expect(Date.parse(grant.expires_at)).toBeGreaterThan(Date.parse('2026-11-22T10:29:55Z'))
    expect(warnings).toEqual([expect.stringContaining('ends at 2026-11-22T10:30:00.000Z')])
  })

  test('of a temporary key whose end nobody knows is as asked, with a warning', async () => {
    const { grant, warnings } = await warningsOf({ s3: temporary() })
    expect(grant.expires_at).toBe('2026-11-22T11:00:00Z')
    expect(warnings).toEqual([expect.stringContaining('temporary')])
  })

  test('is none with a temporary key that has ended or soon will', async () => {
    for (const end of ['2026-11-22T09:59:00Z', '2026-11-22T10:00:30Z']) {
      await expect(sign({ s3: temporary(new Date(end)) })).rejects.toMatchObject({ code: 'credentials_expired' })
    }
  })

  test('a session token is in the form and in the policy', async () => {
    const { fields } = await sign({ s3: temporary(new Date('2026-11-23T10:00:00Z')) })
    expect(fields['x-amz-security-token']).toBe('session/token+=')
    expect(decodePolicy(fields['policy']!).conditions).toContainEqual({ 'X-Amz-Security-Token': 'session/token+=' })
  })

  test('without any key there is a hint on where to put one', async () => {
    const s3 = client({ credentials: () => Promise.reject(new Error('Could not load credentials from any providers')) })
    await expect(sign({ s3 })).rejects.toMatchObject({
      code: 'credentials_missing',
      hint: expect.stringContaining('AWS_ACCESS_KEY_ID'),
    })
  })
})

test('uploads by hand are allowed in a folder of their own, where no backup lies', async () => {
  const usual = { s3: client(), bucket: 'acme', server: 'db1', maxPartBytes: 1000, expiresInSeconds: hour, now }
  const { keyPrefix, fields } = await signUpload(usual)
  expect(keyPrefix).toBe('db1/upload/')
  expect(decodePolicy(fields['policy']!).conditions).toContainEqual(['starts-with', '$key', 'db1/upload/'])
})
