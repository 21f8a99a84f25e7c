import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { refreshing } from '../../src/box/refreshing.js'
import { bothSchemes, MIB, never, openTestBox, randomPart, type TestBox } from '../sandbox/s3/test-box.js'
import { makeGrant } from '../sandbox/s3/test-grant.js'

describe.each(bothSchemes)('a grant at the box over $over', ({ tls }) => {
  let on: TestBox

  beforeEach(async () => {
    on = await openTestBox(tls)
  })
  afterEach(() => on.close())

  test('a grant that the box calls expired is refreshed once and the part posted again', async () => {
    on.grant = await makeGrant(on.s3, { server: 'db1', bucket: 'b', expiresInSeconds: 60, clockMinutes: -2 })
    let refreshes = 0
    const healed = refreshing(on.http, async () => {
      refreshes++
      on.grant = await makeGrant(on.s3, { server: 'db1', bucket: 'b' })
      return true
    })
    await Promise.all([
      healed.post(randomPart('db1/1/x', 10), never),
      healed.post(randomPart('db1/1/y', 2 * MIB), never),
    ])
    expect(on.s3.bucket('b').keys()).toEqual(['db1/1/x', 'db1/1/y'])
    expect(refreshes).toBe(1)
  })

  test('a grant that cannot be refreshed is reported with the reason why not', async () => {
    on.grant = await makeGrant(on.s3, { server: 'db1', bucket: 'b', expiresInSeconds: 60, clockMinutes: -2 })
    const alone = refreshing(on.http, () => Promise.resolve(false))
    await expect(alone.post(randomPart('db1/1/x', 10), never)).rejects.toMatchObject({ code: 'grant_expired' })
    expect(on.s3.requests).toHaveLength(1)
    const failing = refreshing(on.http, () => Promise.reject(new Error('the issuer is on fire')))
    await expect(failing.post(randomPart('db1/1/x', 10), never)).rejects.toMatchObject({
      code: 'grant_expired',
      hint: expect.stringContaining('the issuer is on fire'),
    })
  })

  test('a grant that ended long ago by our own clock is not even sent', async () => {
    on.grant = await makeGrant(on.s3, { server: 'db1', bucket: 'b', expiresInSeconds: 60, clockMinutes: -30 })
    await expect(on.box.post(randomPart('db1/1/x', 10), never)).rejects.toMatchObject({ code: 'grant_expired' })
    expect(on.s3.requests).toHaveLength(0)
  })

  test('a box whose clock is 20 minutes ahead is told from an expired grant', async () => {
    on.grant = await makeGrant(on.s3, { server: 'db1', bucket: 'b', expiresInSeconds: 600 })
    on.s3.shiftClock(20)
    await expect(on.box.post(randomPart('db1/1/x', 10), never)).rejects.toMatchObject({
      code: 'clock_skew',
      hint: expect.stringMatching(/clock is 20 min ahead of/),
    })
  })

  test('a service that takes signatures for a quarter of an hour only is told from a wrong clock', async () => {
    on.grant = await makeGrant(on.s3, { server: 'db1', bucket: 'b', clockMinutes: -20 })
    on.s3.limitFormAge(15 * 60_000)
    await expect(on.box.post(randomPart('db1/1/x', 10), never)).rejects.toMatchObject({
      code: 'clock_skew',
      hint: expect.stringContaining('shorten grant_life'),
    })
  })

  test('a refusal that was lost with the connection is found by asking about the grant alone', async () => {
    on.grant = await makeGrant(on.s3, { server: 'db1', bucket: 'b', expiresInSeconds: 60, clockMinutes: -2 })
    on.s3.fail({ op: 'PostObject', key: /db1\/1\/x/, times: 9, fault: { kind: 'cut-body', afterBytes: 3 * MIB } })
    await expect(on.http.post(randomPart('db1/1/x', 20 * MIB), never)).rejects.toMatchObject({ code: 'grant_expired' })
    // With a good grant it is the connection that failed, and the question stores nothing.
    on.grant = await makeGrant(on.s3, { server: 'db1', bucket: 'b' })
    await expect(on.http.post(randomPart('db1/1/x', 20 * MIB), never)).rejects.toMatchObject({
      code: 'box_unavailable',
    })
    expect(on.s3.bucket('b').keys()).toEqual([])
  })

  test('a missing bucket is named as that', async () => {
    on.grant = { ...(await makeGrant(on.s3, { server: 'db1', bucket: 'gone' })) }
    await expect(on.box.post(randomPart('db1/1/x', 10), never)).rejects.toMatchObject({ code: 'box_missing' })
  })

  test('a grant for another region names the right one', async () => {
    on.grant = await makeGrant({ ...on.s3, region: 'eu-west-1' as 'us-east-1' }, { server: 'db1', bucket: 'b' })
    await expect(on.box.post(randomPart('db1/1/x', 10), never)).rejects.toMatchObject({
      code: 'box_region_wrong',
      hint: expect.stringContaining('us-east-1'),
    })
  })

  test('a part over the limit is refused here, and by the box when the limit was hidden from us', async () => {
    on.grant = await makeGrant(on.s3, { server: 'db1', bucket: 'b', maxPartBytes: 2 * MIB })
    await expect(on.box.post(randomPart('db1/1/x', 2 * MIB + 1), never)).rejects.toMatchObject({
      code: 'part_too_large',
    })
    expect(on.s3.requests).toHaveLength(0)
    on.grant = { ...on.grant, max_part_bytes: 99 * MIB }
    await expect(on.box.post(randomPart('db1/1/x', 30 * MIB), never)).rejects.toMatchObject({ code: 'part_too_large' })
    await expect(on.box.post(randomPart('db1/1/x', 2 * MIB + 1), never)).rejects.toMatchObject({
      code: 'part_too_large',
    })
    await on.box.post(randomPart('db1/1/x', 2 * MIB), never)
    expect(on.s3.bucket('b').keys()).toEqual(['db1/1/x'])
  })

  test('a key outside the prefix is refused here, and by the box when the prefix was hidden from us', async () => {
    await expect(on.box.post(randomPart('db2/1/x', 10), never)).rejects.toMatchObject({ code: 'box_refused' })
    expect(on.s3.requests).toHaveLength(0)
    on.grant = { ...on.grant, key_prefix: 'db2/' }
    await expect(on.box.post(randomPart('db2/1/x', 10), never)).rejects.toMatchObject({
      code: 'box_refused',
      message: expect.stringContaining('Policy Condition failed'),
    })
  })

  test('a changed policy is refused without its text or signature in the error', async () => {
    const policy = Buffer.from(on.grant.fields['policy']!, 'base64').toString().replace('db1/', 'db2/')
    const fields: Record<string, string> = { ...on.grant.fields, policy: Buffer.from(policy).toString('base64') }
    on.grant = { ...on.grant, key_prefix: 'db2/', fields }
    const error = await on.box.post(randomPart('db2/1/x', 10), never).then(
      () => null,
      (thrown: Error) => thrown,
    )
    expect(error).toMatchObject({ code: 'box_refused', message: expect.stringContaining('SignatureDoesNotMatch') })
    const told = JSON.stringify([error!.message, (error as unknown as { hint: string }).hint, String(error!.cause)])
    for (const secret of [fields['policy']!, fields['x-amz-signature']!, on.s3.accessKey])
      expect(told).not.toContain(secret)
  })
})
