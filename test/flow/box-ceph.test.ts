import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { GetObjectCommand, ListObjectsV2Command, ListObjectVersionsCommand } from '@aws-sdk/client-s3'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Part } from '../../src/box/box.js'
import type { Grant } from '../../src/box/grant.js'
import { createHttpBox, type HttpBox } from '../../src/box/http-box.js'
import { createPart } from '../../src/box/part.js'
import { cephAvailable, startCeph, type Ceph } from '../sandbox/ceph/ceph.js'
import { CUTS, CuttingProxy } from '../sandbox/s3/cutting-proxy.js'
import { makeGrant, sdkClient } from '../sandbox/s3/test-grant.js'

const MIB = 1024 * 1024
const never = new AbortController().signal
const part = (key: string, bytes: number): Part => createPart(key, [randomBytes(bytes)], 'application/zstd')

describe.runIf(await cephAvailable())('the box at a real Ceph', () => {
  let ceph: Ceph
  beforeAll(async () => {
    ceph = await startCeph({ buckets: ['plain', 'kept:versioned', 'locked:lock'] })
  })
  afterAll(() => ceph.stop())

  describe.each(['http', 'https'])('over %s', (scheme) => {
    let grant: Grant
    let box: HttpBox
    const at = () => ({ ...ceph, endpoint: scheme === 'http' ? ceph.endpoint : ceph.tlsEndpoint })

    beforeEach(async () => {
      grant = await makeGrant(at(), { server: 'db1', bucket: 'plain', maxPartBytes: 8 * MIB })
      box = createHttpBox({ grant: () => grant, connections: 4, ca: await readFile(ceph.caFile) })
    })
    afterEach(() => box.close())

    test.each([1, MIB, 5 * MIB + 3])('a part of %i bytes is stored as it was sent', async (bytes) => {
      const sent = part(`db1/1/${scheme}-${bytes}`, bytes)
      await expect(box.post(sent, never)).resolves.toMatchObject({
        key: sent.key,
        bytes,
        etag: sent.md5.toString('hex'),
      })
      const client = sdkClient(ceph)
      const { Body } = await client.send(new GetObjectCommand({ Bucket: 'plain', Key: sent.key }))
      expect(Buffer.from(await Body!.transformToByteArray()).equals(sent.chunks[0]!)).toBe(true)
      client.destroy()
    })

    test.each(['kept', 'locked'])('a bucket of kind %s takes parts', async (bucket) => {
      grant = await makeGrant(at(), { server: 'db1', bucket })
      const sent = part(`db1/1/${scheme}`, 1000)
      await expect(box.post(sent, never)).resolves.toMatchObject({ etag: sent.md5.toString('hex') })
    })

    test('what it refuses has the same names as elsewhere, and is not stored', async () => {
      const good = grant
      const refusal = (key = 'db1/1/refused', bytes = 100) =>
        box.post(part(key, bytes), never).then(
          () => 'stored',
          (error: { code: string }) => error.code,
        )
      // Just expired by Ceph's clock; by ours it may be over for up to 20 minutes before we say so ourselves.
      grant = await makeGrant(at(), { server: 'db1', bucket: 'plain', expiresInSeconds: 60, clockMinutes: -2 })
      expect(await refusal()).toBe('grant_expired')
      grant = await makeGrant({ ...at(), secretKey: 'wrong' }, { server: 'db1', bucket: 'plain' })
      expect(await refusal()).toBe('box_refused')
      grant = { ...good, key_prefix: 'db2/' }
      expect(await refusal('db2/1/refused')).toBe('box_refused')
      grant = { ...good, max_part_bytes: 99 * MIB }
      expect(await refusal('db1/1/refused', 8 * MIB + 1)).toBe('part_too_large')
      grant = { ...good, fields: { ...good.fields, acl: 'public-read' } }
      expect(await refusal()).toBe('box_refused')
      grant = await makeGrant(at(), { server: 'db1', bucket: 'gone' })
      expect(await refusal()).toBe('box_missing')
      const client = sdkClient(ceph)
      for (const Prefix of ['db1/1/refused', 'db2/']) {
        const { KeyCount } = await client.send(new ListObjectsV2Command({ Bucket: 'plain', Prefix }))
        expect(KeyCount).toBe(0)
      }
      client.destroy()
    })
  })

  test.each([100, 3 * MIB])('keeps nothing of a part of %i bytes that is cut off on its way', async (bytes) => {
    const proxy = await CuttingProxy.start(ceph.endpoint)
    const grant = await makeGrant({ ...ceph, endpoint: proxy.endpoint }, { server: 'db1', bucket: 'kept' })
    const box = createHttpBox({ grant: () => grant, connections: 1 })
    const client = sdkClient(ceph)
    try {
      for (const [index, cut] of CUTS.entries()) {
        const sent = part(`db1/cut/${bytes}-${index}`, bytes)
        proxy.cut({ key: /./, cuts: [cut] })
        await expect(box.post(sent, never)).rejects.toMatchObject({ code: 'box_unavailable' })
        await expect(box.post(sent, never)).resolves.toMatchObject({ key: sent.key, bytes })
        const { Versions = [] } = await client.send(new ListObjectVersionsCommand({ Bucket: 'kept', Prefix: sent.key }))
        expect(Versions.map(({ ETag }) => ETag)).toEqual(
          Array.from({ length: cut.in === 'answer' ? 2 : 1 }, () => `"${sent.md5.toString('hex')}"`),
        )
      }
    } finally {
      client.destroy()
      await box.close()
      await proxy.close()
    }
  })
})
