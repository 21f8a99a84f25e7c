import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createHttpBox } from '../../src/box/http-box.js'
import type { Throttle } from '../../src/box/throttle.js'
import { startS3 } from '../sandbox/s3/server.js'
import { bothSchemes, chunkedPart, MIB, never, openTestBox, randomPart, type TestBox } from '../sandbox/s3/test-box.js'
import { makeGrant } from '../sandbox/s3/test-grant.js'
import { until } from '../sandbox/until.js'

describe.each(bothSchemes)('the box over $over', ({ tls }) => {
  let on: TestBox

  beforeEach(async () => {
    on = await openTestBox(tls)
  })
  afterEach(() => on.close())

  test.each([1, 100, MIB - 1, MIB, 3 * MIB + 5])('a part of %i bytes is stored as it was sent', async (bytes) => {
    const sent = bytes > 100 ? chunkedPart('db1/1/x', bytes) : randomPart('db1/1/x', bytes)
    const receipt = await on.box.post(sent, never)
    const [stored, ...others] = on.s3.bucket('b').versions('db1/1/x')
    expect(stored!.bytes!.equals(Buffer.concat(sent.chunks))).toBe(true)
    expect(others).toHaveLength(0)
    expect(stored!.contentType).toBe('application/zstd')
    expect(receipt).toEqual({ key: sent.key, bytes, etag: stored!.md5, versionId: stored!.versionId })
  })

  test('many parts at once are all stored, over no more connections than allowed', async () => {
    const parts = Array.from({ length: 12 }, (_, i) => randomPart(`db1/1/${i}`, MIB + i))
    await Promise.all(parts.map((one) => on.box.post(one, never)))
    for (const one of parts) expect(on.s3.bucket('b').get(one.key).equals(one.chunks[0]!)).toBe(true)
  })

  test('a bucket with a retention takes parts, because a checksum goes with them', async () => {
    on.grant = await makeGrant(on.s3, { server: 'db1', bucket: 'lock' })
    await on.box.post(randomPart('db1/1/x', 10), never)
    expect(on.s3.bucket('lock').current('db1/1/x')!.retainUntil).toBeInstanceOf(Date)
  })

  test('a lost answer leads to a second store of the same bytes under the same key', async () => {
    on.s3.fail({ op: 'PostObject', fault: { kind: 'cut', when: 'after-store' } })
    const sent = randomPart('db1/1/x', 2 * MIB)
    await on.box.post(sent, never)
    expect(on.s3.bucket('b').keys()).toEqual(['db1/1/x'])
    const versions = on.s3.bucket('b').versions('db1/1/x')
    expect(versions).toHaveLength(2)
    expect(versions[0]!.md5).toBe(versions[1]!.md5)
  })

  test('a connection that is cut before storing is tried again', async () => {
    on.s3.fail({ op: 'PostObject', times: 2, fault: { kind: 'cut', when: 'before-store' } })
    await on.box.post(randomPart('db1/1/x', 10), never)
    expect(on.s3.bucket('b').versions('db1/1/x')).toHaveLength(1)
  })

  test.each([0, 1, 500, 2600, 70_000, MIB, 2 * MIB - 1, 2 * MIB])(
    'a part whose upload is cut after %i bytes is not stored until it is whole',
    async (afterBytes) => {
      on.s3.fail({ op: 'PostObject', fault: { kind: 'cut-body', afterBytes } })
      const sent = chunkedPart('db1/1/x', 2 * MIB)
      await on.box.post(sent, never)
      const versions = on.s3.bucket('b').versions('db1/1/x')
      expect(on.s3.requests.length).toBeGreaterThan(1)
      expect(versions).toHaveLength(1)
      expect(versions[0]!.bytes!.equals(Buffer.concat(sent.chunks))).toBe(true)
      expect(on.s3.bucket('b').keys()).toEqual(['db1/1/x'])
    },
  )

  test('a post that is aborted ends at once with the reason', async () => {
    on.s3.fail({ op: 'PostObject', fault: { kind: 'silence' } })
    const stop = new AbortController()
    const posting = on.box.post(randomPart('db1/1/x', 3 * MIB), stop.signal)
    posting.catch(() => undefined)
    await until('the request arrived', () => on.s3.requests.length > 0)
    stop.abort(new Error('stopped by the test'))
    await expect(posting).rejects.toThrow('stopped by the test')
    await expect(on.box.post(randomPart('db1/1/x', 10), stop.signal)).rejects.toThrow('stopped by the test')
  })

  test('waiting between two tries ends at once when it is aborted', async () => {
    on.s3.fail({ op: 'PostObject', times: 9, fault: { kind: 'status', status: 503, headers: { 'Retry-After': '60' } } })
    const stop = new AbortController()
    const posting = on.box.post(randomPart('db1/1/x', 10), stop.signal)
    posting.catch(() => undefined)
    await until('the first try was refused', () => on.s3.requests[0]?.status === 503)
    stop.abort(new Error('stopped by the test'))
    await expect(posting).rejects.toThrow('stopped by the test')
  })
})

describe('a throttled box', () => {
  /** Lets everything pass at once and writes down what was asked for. */
  class Recording implements Throttle {
    taken: { bytes: number; urgent: boolean }[] = []
    constructor(readonly bytesPerSecond: number) {}
    setRate(): void {
      throw new Error('not asked for')
    }
    take(bytes: number, { urgent }: { urgent: boolean }): Promise<void> {
      this.taken.push({ bytes, urgent })
      return Promise.resolve()
    }
  }

  test.each([
    ['small', 1000, false],
    ['large', 3 * MIB, true],
  ])('asks for every byte of a %s part, in pieces of a tenth of a second', async (_, bytes, urgent) => {
    const throttle = new Recording(1_000_000)
    const on = await openTestBox(false, throttle)
    const sent = { ...chunkedPart('db1/1/x', bytes), urgent }
    await on.http.post(sent, never)
    expect(on.s3.bucket('b').get('db1/1/x').equals(Buffer.concat(sent.chunks))).toBe(true)
    const whole = throttle.taken.reduce((sum, one) => sum + one.bytes, 0)
    expect(whole).toBe(on.s3.requests[0]!.bytes)
    expect(throttle.taken.every((one) => one.urgent === urgent && one.bytes <= 100_000)).toBe(true)
    await on.close()
  })
})

test('a certificate that nobody vouches for says how to trust it', async () => {
  const s3 = await startS3({ buckets: [{ name: 'b' }], tls: true })
  const grant = await makeGrant(s3, { server: 'db1', bucket: 'b' })
  const box = createHttpBox({ grant: () => grant, connections: 1 })
  await expect(box.post(randomPart('db1/1/x', 10), never)).rejects.toMatchObject({
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
  await expect(box.post(randomPart('db1/1/x', 10), never)).rejects.toMatchObject({
    code: 'box_unavailable',
    message: expect.stringContaining('ECONNREFUSED'),
  })
  await box.close()
})
