import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Fault } from '../sandbox/s3/faults.js'
import { bothSchemes, MIB, never, openTestBox, quick, randomPart, type TestBox } from '../sandbox/s3/test-box.js'

describe.each(bothSchemes)('an answer of the box over $over', ({ tls }) => {
  let on: TestBox

  beforeEach(async () => {
    on = await openTestBox(tls)
  })
  afterEach(() => on.close())

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
    on.s3.fail({ op: 'PostObject', fault })
    await expect(on.http.post(randomPart('db1/1/x', 10), never)).rejects.toMatchObject({ retryable: true })
    on.s3.fail({ op: 'PostObject', fault })
    await expect(on.box.post(randomPart('db1/1/x', 10), never)).resolves.toMatchObject({ key: 'db1/1/x' })
  })

  test('an error within a 200 is that error', async () => {
    on.s3.fail({ op: 'PostObject', fault: { kind: 'ok-with-error', code: 'AccessDenied', message: 'Access Denied' } })
    await expect(on.box.post(randomPart('db1/1/x', 10), never)).rejects.toMatchObject({ code: 'box_refused' })
    expect(on.s3.requests).toHaveLength(1)
  })

  test('an ETag that is no MD5 is taken when the bucket encrypts with KMS', async () => {
    const headers = { 'x-amz-server-side-encryption': 'aws:kms' }
    on.s3.fail({ op: 'PostObject', fault: { kind: 'answer', etag: '"abc-kms"', headers } })
    await expect(on.http.post(randomPart('db1/1/x', 10), never)).resolves.toMatchObject({ etag: 'abc-kms' })
  })

  test('damage that comes twice is reported and not tried for ever', async () => {
    on.s3.fail({ op: 'PostObject', times: 9, fault: { kind: 'status', status: 400, code: 'BadDigest' } })
    await expect(on.box.post(randomPart('db1/1/x', 10), never)).rejects.toMatchObject({ code: 'box_damaged' })
    expect(on.s3.requests).toHaveLength(2)
  })

  test('bytes that changed after they were hashed are refused by their checksum', async () => {
    const sent = randomPart('db1/1/x', 10)
    sent.chunks[0]![3]! ^= 1
    await expect(on.box.post(sent, never)).rejects.toMatchObject({ code: 'box_damaged' })
    expect(on.s3.bucket('b').keys()).toEqual([])
  })

  test('a Retry-After is waited for', async () => {
    const fault = { kind: 'status', status: 503, code: 'SlowDown', headers: { 'Retry-After': '1' } } as const
    on.s3.fail({ op: 'PostObject', fault })
    await on.box.post(randomPart('db1/1/x', 10), never)
    const [first, second] = on.s3.requests
    expect(second!.at.getTime() - first!.at.getTime()).toBeGreaterThanOrEqual(990)
  })

  test('a box that stays away is reported as unavailable after the last try', async () => {
    on.s3.fail({ fault: { kind: 'down' }, times: 99 })
    await expect(on.box.post(randomPart('db1/1/x', 10), never)).rejects.toMatchObject({ code: 'box_unavailable' })
    expect(on.s3.requests).toHaveLength(quick.retries + 1)
  })

  test('a 307 to the same provider is followed once with the same form', async () => {
    on.s3.fail({ op: 'PostObject', fault: { kind: 'redirect', status: 307, location: on.s3.otherEndpoint } })
    await on.http.post(randomPart('db1/1/x', 2 * MIB), never)
    expect(on.s3.bucket('b').keys()).toEqual(['db1/1/x'])
    expect(on.s3.requests.map(({ headers }) => headers.host)).toEqual(
      [on.s3.endpoint, on.s3.otherEndpoint].map((url) => new URL(url).host),
    )
  })

  test('a second 307 is not followed', async () => {
    on.s3.fail({ op: 'PostObject', times: 9, fault: { kind: 'redirect', status: 307, location: on.s3.otherEndpoint } })
    await expect(on.box.post(randomPart('db1/1/x', 10), never)).rejects.toMatchObject({ code: 'box_region_wrong' })
    expect(on.s3.requests).toHaveLength(2)
  })

  test.each(['https://collector.example.net', `${tls ? 'http' : 'https'}://127.0.0.1:1`])(
    'a 307 to %s is not followed',
    async (location) => {
      on.s3.fail({ op: 'PostObject', fault: { kind: 'redirect', status: 307, location } })
      await expect(on.box.post(randomPart('db1/1/x', 10), never)).rejects.toMatchObject({ code: 'box_region_wrong' })
      expect(on.s3.requests).toHaveLength(1)
    },
  )

  test('a 301 names the region where the bucket is', async () => {
    on.s3.fail({ op: 'PostObject', fault: { kind: 'redirect', status: 301, region: 'eu-central-1' } })
    await expect(on.box.post(randomPart('db1/1/x', 10), never)).rejects.toMatchObject({
      code: 'box_region_wrong',
      hint: expect.stringContaining('eu-central-1'),
    })
  })
})
