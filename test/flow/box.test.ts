import { randomBytes } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Box, Part } from '../../src/box/box.js'
import type { Grant } from '../../src/box/grant.js'
import { createHttpBox, type HttpBox } from '../../src/box/http-box.js'
import { createPart } from '../../src/box/part.js'
import { refreshing } from '../../src/box/refreshing.js'
import { retrying } from '../../src/box/retrying.js'
import type { Fault } from '../sandbox/s3/faults.js'
import { startS3, type LocalS3 } from '../sandbox/s3/server.js'
import { makeGrant } from '../sandbox/s3/test-grant.js'
import { until } from '../sandbox/until.js'

const MIB = 1024 * 1024
const never = new AbortController().signal
const quick = { retries: 4, minDelayMs: 5, maxDelayMs: 50 }

const part = (key: string, bytes: number): Part => createPart(key, [randomBytes(bytes)], 'application/zstd')
/** Several chunks of uneven size, as frames are. */
function chunkedPart(key: string, bytes: number): Part {
  const whole = randomBytes(bytes)
  const cuts = [0, 1, Math.floor(bytes / 3), bytes - 7, bytes]
  return createPart(
    key,
    cuts.slice(1).map((end, i) => whole.subarray(cuts[i], end)),
    'application/zstd',
  )
}

describe.each([
  { over: 'http', tls: false },
  { over: 'https', tls: true },
])('the box over $over', ({ tls }) => {
  let s3: LocalS3
  let http: HttpBox
  let box: Box
  let grant: Grant

  beforeEach(async () => {
    s3 = await startS3({
      buckets: [
        { name: 'b', versioned: true },
        { name: 'lock', lock: true },
      ],
      tls,
    })
    grant = await makeGrant(s3, { server: 'db1', bucket: 'b' })
    http = createHttpBox({ grant: () => grant, connections: 3, ...(s3.ca ? { ca: s3.ca } : {}) })
    box = retrying(http, quick)
  })
  afterEach(async () => {
    await http.close()
    await s3.close()
  })

  test.each([1, 100, MIB - 1, MIB, 3 * MIB + 5])('a part of %i bytes is stored as it was sent', async (bytes) => {
    const sent = bytes > 100 ? chunkedPart('db1/1/x', bytes) : part('db1/1/x', bytes)
    const receipt = await box.post(sent, never)
    const [stored, ...others] = s3.bucket('b').versions('db1/1/x')
    expect(stored!.bytes!.equals(Buffer.concat(sent.chunks))).toBe(true)
    expect(others).toHaveLength(0)
    expect(stored!.contentType).toBe('application/zstd')
    expect(receipt).toEqual({ key: sent.key, bytes, etag: stored!.md5, versionId: stored!.versionId })
  })

  test('many parts at once are all stored, over no more connections than allowed', async () => {
    const parts = Array.from({ length: 12 }, (_, i) => part(`db1/1/${i}`, MIB + i))
    await Promise.all(parts.map((one) => box.post(one, never)))
    for (const one of parts) expect(s3.bucket('b').get(one.key).equals(one.chunks[0]!)).toBe(true)
  })

  test('a bucket with a retention takes parts, because a checksum goes with them', async () => {
    grant = await makeGrant(s3, { server: 'db1', bucket: 'lock' })
    await box.post(part('db1/1/x', 10), never)
    expect(s3.bucket('lock').current('db1/1/x')!.retainUntil).toBeInstanceOf(Date)
  })

  test('a lost answer leads to a second store of the same bytes under the same key', async () => {
    s3.fail({ op: 'PostObject', fault: { kind: 'cut', when: 'after-store' } })
    const sent = part('db1/1/x', 2 * MIB)
    await box.post(sent, never)
    expect(s3.bucket('b').keys()).toEqual(['db1/1/x'])
    const versions = s3.bucket('b').versions('db1/1/x')
    expect(versions).toHaveLength(2)
    expect(versions[0]!.md5).toBe(versions[1]!.md5)
  })

  test('a connection that is cut before storing is tried again', async () => {
    s3.fail({ op: 'PostObject', times: 2, fault: { kind: 'cut', when: 'before-store' } })
    await box.post(part('db1/1/x', 10), never)
    expect(s3.bucket('b').versions('db1/1/x')).toHaveLength(1)
  })

  test.each([0, 1, 500, 2600, 70_000, MIB, 2 * MIB - 1, 2 * MIB])(
    'a part whose upload is cut after %i bytes is not stored until it is whole',
    async (afterBytes) => {
      s3.fail({ op: 'PostObject', fault: { kind: 'cut-body', afterBytes } })
      const sent = chunkedPart('db1/1/x', 2 * MIB)
      await box.post(sent, never)
      const versions = s3.bucket('b').versions('db1/1/x')
      expect(s3.requests.length).toBeGreaterThan(1)
      expect(versions).toHaveLength(1)
      expect(versions[0]!.bytes!.equals(Buffer.concat(sent.chunks))).toBe(true)
      expect(s3.bucket('b').keys()).toEqual(['db1/1/x'])
    },
  )

  const transient: [string, Fault][] = [
    ['503 SlowDown', { kind: 'status', status: 503, code: 'SlowDown' }],
    ['500 InternalError', { kind: 'status', status: 500, code: 'InternalError' }],
    ['a bare 502 of a proxy', { kind: 'status', status: 502, body: '<html>bad gateway</html>' }],
    ['400 RequestTimeout', { kind: 'status', status: 400, code: 'RequestTimeout' }],
    ['200 with an error in it', { kind: 'ok-with-error', code: 'InternalError', message: 'We failed.' }],
    ['200 with a page of a proxy', { kind: 'status', status: 200, body: '<html>Welcome</html>' }],
    ['204', { kind: 'answer', status: 204 }],
    ['201 naming another key', { kind: 'answer', key: 'db1/1/other' }],
    ['201 naming another bucket', { kind: 'answer', bucket: 'other' }],
    ['201 naming other content', { kind: 'answer', etag: '"00000000000000000000000000000000"' }],
    ['201 without a body', { kind: 'answer', body: '' }],
    ['a damaged part', { kind: 'status', status: 400, code: 'BadDigest' }],
  ]
  test.each(transient)('%s is no success and is tried again', async (_, fault) => {
    s3.fail({ op: 'PostObject', fault })
    await expect(http.post(part('db1/1/x', 10), never)).rejects.toMatchObject({ retryable: true })
    s3.fail({ op: 'PostObject', fault })
    await expect(box.post(part('db1/1/x', 10), never)).resolves.toMatchObject({ key: 'db1/1/x' })
  })

  test('an error within a 200 is that error', async () => {
    s3.fail({ op: 'PostObject', fault: { kind: 'ok-with-error', code: 'AccessDenied', message: 'Access Denied' } })
    await expect(box.post(part('db1/1/x', 10), never)).rejects.toMatchObject({ code: 'box_refused' })
    expect(s3.requests).toHaveLength(1)
  })

  test('an ETag that is no MD5 is taken when the bucket encrypts with KMS', async () => {
    const headers = { 'x-amz-server-side-encryption': 'aws:kms' }
    s3.fail({ op: 'PostObject', fault: { kind: 'answer', etag: '"abc-kms"', headers } })
    await expect(http.post(part('db1/1/x', 10), never)).resolves.toMatchObject({ etag: 'abc-kms' })
  })

  test('damage that comes twice is reported and not tried for ever', async () => {
    s3.fail({ op: 'PostObject', times: 9, fault: { kind: 'status', status: 400, code: 'BadDigest' } })
    await expect(box.post(part('db1/1/x', 10), never)).rejects.toMatchObject({ code: 'box_damaged' })
    expect(s3.requests).toHaveLength(2)
  })

  test('bytes that changed after they were hashed are refused by their checksum', async () => {
    const sent = part('db1/1/x', 10)
    sent.chunks[0]![3]! ^= 1
    await expect(box.post(sent, never)).rejects.toMatchObject({ code: 'box_damaged' })
    expect(s3.bucket('b').keys()).toEqual([])
  })

  test('a Retry-After is waited for', async () => {
    const fault = { kind: 'status', status: 503, code: 'SlowDown', headers: { 'Retry-After': '1' } } as const
    s3.fail({ op: 'PostObject', fault })
    await box.post(part('db1/1/x', 10), never)
    const [first, second] = s3.requests
    expect(second!.at.getTime() - first!.at.getTime()).toBeGreaterThanOrEqual(990)
  })

  test('a box that stays away is reported as unavailable after the last try', async () => {
    s3.fail({ fault: { kind: 'down' }, times: 99 })
    await expect(box.post(part('db1/1/x', 10), never)).rejects.toMatchObject({ code: 'box_unavailable' })
    expect(s3.requests).toHaveLength(quick.retries + 1)
  })

  test('a 307 to the same provider is followed once with the same form', async () => {
    s3.fail({ op: 'PostObject', fault: { kind: 'redirect', status: 307, location: s3.otherEndpoint } })
    await http.post(part('db1/1/x', 2 * MIB), never)
    expect(s3.bucket('b').keys()).toEqual(['db1/1/x'])
    expect(s3.requests.map(({ headers }) => headers.host)).toEqual(
      [s3.endpoint, s3.otherEndpoint].map((url) => new URL(url).host),
    )
  })

  test('a second 307 is not followed', async () => {
    s3.fail({ op: 'PostObject', times: 9, fault: { kind: 'redirect', status: 307, location: s3.otherEndpoint } })
    await expect(box.post(part('db1/1/x', 10), never)).rejects.toMatchObject({ code: 'box_region_wrong' })
    expect(s3.requests).toHaveLength(2)
  })

  test.each(['https://collector.example.net', `${tls ? 'http' : 'https'}://127.0.0.1:1`])(
    'a 307 to %s is not followed',
    async (location) => {
      s3.fail({ op: 'PostObject', fault: { kind: 'redirect', status: 307, location } })
      await expect(box.post(part('db1/1/x', 10), never)).rejects.toMatchObject({ code: 'box_region_wrong' })
      expect(s3.requests).toHaveLength(1)
    },
  )

  test('a 301 names the region where the bucket is', async () => {
    s3.fail({ op: 'PostObject', fault: { kind: 'redirect', status: 301, region: 'eu-central-1' } })
    await expect(box.post(part('db1/1/x', 10), never)).rejects.toMatchObject({
      code: 'box_region_wrong',
      hint: expect.stringContaining('eu-central-1'),
    })
  })

  test('a grant that the box calls expired is refreshed once and the part posted again', async () => {
    grant = await makeGrant(s3, { server: 'db1', bucket: 'b', expiresInSeconds: 60, clockMinutes: -2 })
    let refreshes = 0
    const healed = refreshing(http, async () => {
      refreshes++
      grant = await makeGrant(s3, { server: 'db1', bucket: 'b' })
      return true
    })
    await Promise.all([healed.post(part('db1/1/x', 10), never), healed.post(part('db1/1/y', 2 * MIB), never)])
    expect(s3.bucket('b').keys()).toEqual(['db1/1/x', 'db1/1/y'])
    expect(refreshes).toBe(1)
  })

  test('a grant that cannot be refreshed is reported with the reason why not', async () => {
    grant = await makeGrant(s3, { server: 'db1', bucket: 'b', expiresInSeconds: 60, clockMinutes: -2 })
    const alone = refreshing(http, () => Promise.resolve(false))
    await expect(alone.post(part('db1/1/x', 10), never)).rejects.toMatchObject({ code: 'grant_expired' })
    expect(s3.requests).toHaveLength(1)
    const failing = refreshing(http, () => Promise.reject(new Error('the issuer is on fire')))
    await expect(failing.post(part('db1/1/x', 10), never)).rejects.toMatchObject({
      code: 'grant_expired',
      hint: expect.stringContaining('the issuer is on fire'),
    })
  })

  test('a grant that ended long ago by our own clock is not even sent', async () => {
    grant = await makeGrant(s3, { server: 'db1', bucket: 'b', expiresInSeconds: 60, clockMinutes: -30 })
    await expect(box.post(part('db1/1/x', 10), never)).rejects.toMatchObject({ code: 'grant_expired' })
    expect(s3.requests).toHaveLength(0)
  })

  test('a box whose clock is 20 minutes ahead is told from an expired grant', async () => {
    grant = await makeGrant(s3, { server: 'db1', bucket: 'b', expiresInSeconds: 600 })
    s3.shiftClock(20)
    await expect(box.post(part('db1/1/x', 10), never)).rejects.toMatchObject({
      code: 'clock_skew',
      hint: expect.stringMatching(/clock is 20 min ahead of/),
    })
  })

  test('a service that takes signatures for a quarter of an hour only is told from a wrong clock', async () => {
    grant = await makeGrant(s3, { server: 'db1', bucket: 'b', clockMinutes: -20 })
    s3.limitFormAge(15 * 60_000)
    await expect(box.post(part('db1/1/x', 10), never)).rejects.toMatchObject({
      code: 'clock_skew',
      hint: expect.stringContaining('shorten grant_life'),
    })
  })

  test('a refusal that was lost with the connection is found by asking about the grant alone', async () => {
    grant = await makeGrant(s3, { server: 'db1', bucket: 'b', expiresInSeconds: 60, clockMinutes: -2 })
    s3.fail({ op: 'PostObject', key: /db1\/1\/x/, times: 9, fault: { kind: 'cut-body', afterBytes: 3 * MIB } })
    await expect(http.post(part('db1/1/x', 20 * MIB), never)).rejects.toMatchObject({ code: 'grant_expired' })
    // With a good grant it is the connection that failed, and the question stores nothing.
    grant = await makeGrant(s3, { server: 'db1', bucket: 'b' })
    await expect(http.post(part('db1/1/x', 20 * MIB), never)).rejects.toMatchObject({ code: 'box_unavailable' })
    expect(s3.bucket('b').keys()).toEqual([])
  })

  test('a missing bucket is named as that', async () => {
    grant = { ...(await makeGrant(s3, { server: 'db1', bucket: 'gone' })) }
    await expect(box.post(part('db1/1/x', 10), never)).rejects.toMatchObject({ code: 'box_missing' })
  })

  test('a grant for another region names the right one', async () => {
    grant = await makeGrant({ ...s3, region: 'eu-west-1' as 'us-east-1' }, { server: 'db1', bucket: 'b' })
    await expect(box.post(part('db1/1/x', 10), never)).rejects.toMatchObject({
      code: 'box_region_wrong',
      hint: expect.stringContaining('us-east-1'),
    })
  })

  test('a part over the limit is refused here, and by the box when the limit was hidden from us', async () => {
    grant = await makeGrant(s3, { server: 'db1', bucket: 'b', maxPartBytes: 2 * MIB })
    await expect(box.post(part('db1/1/x', 2 * MIB + 1), never)).rejects.toMatchObject({ code: 'part_too_large' })
    expect(s3.requests).toHaveLength(0)
    grant = { ...grant, max_part_bytes: 99 * MIB }
    await expect(box.post(part('db1/1/x', 30 * MIB), never)).rejects.toMatchObject({ code: 'part_too_large' })
    await expect(box.post(part('db1/1/x', 2 * MIB + 1), never)).rejects.toMatchObject({ code: 'part_too_large' })
    await box.post(part('db1/1/x', 2 * MIB), never)
    expect(s3.bucket('b').keys()).toEqual(['db1/1/x'])
  })

  test('a key outside the prefix is refused here, and by the box when the prefix was hidden from us', async () => {
    await expect(box.post(part('db2/1/x', 10), never)).rejects.toMatchObject({ code: 'box_refused' })
    expect(s3.requests).toHaveLength(0)
    grant = { ...grant, key_prefix: 'db2/' }
    await expect(box.post(part('db2/1/x', 10), never)).rejects.toMatchObject({
      code: 'box_refused',
      message: expect.stringContaining('Policy Condition failed'),
    })
  })

  test('a changed policy is refused without its text or signature in the error', async () => {
    const policy = Buffer.from(grant.fields['policy']!, 'base64').toString().replace('db1/', 'db2/')
    const fields: Record<string, string> = { ...grant.fields, policy: Buffer.from(policy).toString('base64') }
    grant = { ...grant, key_prefix: 'db2/', fields }
    const error = await box.post(part('db2/1/x', 10), never).then(
      () => null,
      (thrown: Error) => thrown,
    )
    expect(error).toMatchObject({ code: 'box_refused', message: expect.stringContaining('SignatureDoesNotMatch') })
    const told = JSON.stringify([error!.message, (error as unknown as { hint: string }).hint, String(error!.cause)])
    for (const secret of [fields['policy']!, fields['x-amz-signature']!, s3.accessKey])
      expect(told).not.toContain(secret)
  })

  test('a post that is aborted ends at once with the reason', async () => {
    s3.fail({ op: 'PostObject', fault: { kind: 'silence' } })
    const stop = new AbortController()
    const posting = box.post(part('db1/1/x', 3 * MIB), stop.signal)
    posting.catch(() => undefined)
    await until('the request arrived', () => s3.requests.length > 0)
    stop.abort(new Error('stopped by the test'))
    await expect(posting).rejects.toThrow('stopped by the test')
    await expect(box.post(part('db1/1/x', 10), stop.signal)).rejects.toThrow('stopped by the test')
  })

  test('waiting between two tries ends at once when it is aborted', async () => {
    s3.fail({ op: 'PostObject', times: 9, fault: { kind: 'status', status: 503, headers: { 'Retry-After': '60' } } })
    const stop = new AbortController()
    const posting = box.post(part('db1/1/x', 10), stop.signal)
    posting.catch(() => undefined)
    await until('the first try was refused', () => s3.requests[0]?.status === 503)
    stop.abort(new Error('stopped by the test'))
    await expect(posting).rejects.toThrow('stopped by the test')
  })
})

test('a certificate that nobody vouches for says how to trust it', async () => {
  const s3 = await startS3({ buckets: [{ name: 'b' }], tls: true })
  const grant = await makeGrant(s3, { server: 'db1', bucket: 'b' })
  const box = createHttpBox({ grant: () => grant, connections: 1 })
  await expect(box.post(part('db1/1/x', 10), never)).rejects.toMatchObject({
    code: 'box_unavailable',
    hint: expect.stringContaining('POSTBOX_CA_FILE'),
  })
  await box.close()
  await s3.close()
})

test('a box that nobody answers for is unavailable', async () => {
  const s3 = await startS3({ buckets: [{ name: 'b' }] })
  const grant = await makeGrant(s3, { server: 'db1', bucket: 'b' })
  await s3.close()
  const box = createHttpBox({ grant: () => grant, connections: 1 })
  await expect(box.post(part('db1/1/x', 10), never)).rejects.toMatchObject({
    code: 'box_unavailable',
    message: expect.stringContaining('ECONNREFUSED'),
  })
  await box.close()
})
