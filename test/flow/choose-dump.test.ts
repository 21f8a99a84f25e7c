import type { S3Client } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { DumpManifest } from '../../src/box/dump-manifest.js'
import { openArchive } from '../../src/keyholder/archive.js'
import { chooseDump, type DumpRequest } from '../../src/keyholder/dumps/choose-dump.js'
import { startS3, type LocalS3 } from '../sandbox/s3/server.js'
import { sdkClient } from '../sandbox/s3/test-grant.js'
import { SyntheticArchive } from '../sandbox/synthetic-archive.js'

let s3: LocalS3
let client: S3Client
let made: SyntheticArchive
let count = 0
let whole: DumpManifest
let part: DumpManifest
let masked: DumpManifest

beforeAll(async () => {
  s3 = await startS3({ buckets: [{ name: 'b' }] })
  client = sdkClient(s3)
})
afterAll(async () => {
  client.destroy()
  await s3.close()
})
beforeEach(() => {
  made = new SyntheticArchive(s3.bucket('b'), `db${++count}`)
  whole = made.dump('2026-11-22T12:00:00.000Z')
  part = made.dump('2026-11-22T13:00:00.000Z', { whole: false })
  masked = made.dump('2026-11-22T14:00:00.000Z', { whole: false, masked: true })
  s3.bucket('b').put(`${made.server}/${made.home.systemIdentifier}/dump/20261122T150000Z-0000/data/x`, Buffer.from('x'))
})

const choose = (request: Partial<DumpRequest> = {}) =>
  chooseDump(openArchive(client, 'b'), {
    ...{ server: made.server, systemIdentifier: null, dumpId: null, database: null, masked: false },
    ...request,
  }).then(({ dump }) => dump.dumpId)

describe('which dump is restored', () => {
  test('is the newest of a whole database, whatever was stored later', async () => {
    expect(await choose()).toBe(whole.dump_id)
    const newer = made.dump('2026-11-22T12:30:00.000Z')
    expect(await choose()).toBe(newer.dump_id)
  })

  test('is the newest masked one where that is said, and never one that is not masked', async () => {
    expect(await choose({ masked: true })).toBe(masked.dump_id)
    made.dump('2026-11-22T16:00:00.000Z')
    expect(await choose({ masked: true })).toBe(masked.dump_id)
    await expect(choose({ dumpId: whole.dump_id, masked: true })).rejects.toMatchObject({ code: 'bad_argument' })
    const other = new SyntheticArchive(s3.bucket('b'), `db${++count}`)
    other.dump('2026-11-22T12:00:00.000Z')
    await expect(choose({ server: other.server, masked: true })).rejects.toMatchObject({
      code: 'backup_missing',
      message: `the archive does not have a masked dump of a database of server ${other.server}`,
    })
  })

  test('is of all lives of a server, unless one is named', async () => {
    const other = new SyntheticArchive(s3.bucket('b'), made.server, '7000000000000000002')
    const newer = other.dump('2026-11-22T16:00:00.000Z')
    expect(await choose()).toBe(newer.dump_id)
    expect(await choose({ systemIdentifier: made.home.systemIdentifier })).toBe(whole.dump_id)
  })

  test('is of the database that is named, where there are dumps of several', async () => {
    const other = made.dump('2026-11-22T15:00:00.000Z', { database: 'billing' })
    await expect(choose()).rejects.toMatchObject({
      code: 'bad_argument',
      message: 'there are dumps of several databases: billing, shop',
    })
    expect(await choose({ database: 'shop' })).toBe(whole.dump_id)
    expect(await choose({ database: 'billing' })).toBe(other.dump_id)
    await expect(choose({ database: 'nobody' })).rejects.toMatchObject({
      code: 'backup_missing',
      message: `the archive does not have a dump of all of database nobody of server ${made.server}`,
    })
    // Of masked ones there are those of one database alone.
    expect(await choose({ masked: true })).toBe(masked.dump_id)
    expect(await choose({ dumpId: other.dump_id })).toBe(other.dump_id)
    await expect(choose({ dumpId: other.dump_id, database: 'shop' })).rejects.toMatchObject({ code: 'bad_argument' })
  })

  test('may be a part when it is named, and a masked one when that is said too', async () => {
    expect(await choose({ dumpId: part.dump_id })).toBe(part.dump_id)
    await expect(choose({ dumpId: masked.dump_id })).rejects.toMatchObject({ code: 'dump_masked' })
    expect(await choose({ dumpId: masked.dump_id, masked: true })).toBe(masked.dump_id)
  })

  test('is none without a manifest, nor one that lacks a part', async () => {
    await expect(choose({ dumpId: '20261122T150000Z-0000' })).rejects.toMatchObject({
      code: 'backup_missing',
      message: expect.stringContaining('it has no manifest') as string,
    })
    const { key } = whole.sections['pre-data'][0]!
    s3.bucket('b').remove(key)
    await expect(choose()).rejects.toMatchObject({
      code: 'object_missing',
      message: expect.stringContaining(key) as string,
    })
    const empty = new SyntheticArchive(s3.bucket('b'), `db${++count}`)
    empty.dump('2026-11-22T12:00:00.000Z', { whole: false })
    await expect(choose({ server: empty.server })).rejects.toMatchObject({ code: 'backup_missing' })
  })
})
