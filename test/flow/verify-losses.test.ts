import { zstdCompressSync } from 'node:zlib'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { missing, VerifiedArchive } from '../sandbox/verified-archive.js'

// What verify must not call well: histories, tails and backups that are gone or damaged.

let on: VerifiedArchive

beforeAll(async () => {
  on = await VerifiedArchive.start()
})
beforeEach(() => {
  on.begin()
})
afterAll(() => on.close())

describe('the history of a timeline with WAL', () => {
  let key: string
  beforeEach(() => {
    key = on.made.history(2, [[1, '0/280000']])
    on.wal(2, '0/200000', '0/500000')
  })

  test('is there, and nothing is wrong', async () => expect(await on.verify(true)).toEqual([]))

  test('is lost when it is damaged, as a restore refuses then', async () => {
    on.bucket.corrupt(key)
    expect(await on.errors()).toEqual([`error: ${key} holds other bytes than its name says`])
  })

  test('is lost when it is gone, as a restore passes over all behind the promotion then', async () => {
    on.bucket.remove(key)
    expect(await on.errors()).toEqual(['error: timeline 2 has WAL, but its history is not stored'])
  })

  test('is read to its last byte with --deep, also where nobody asks for it', async () => {
    const other = on.made.history(3, [[1, '0/180000']])
    on.bucket.corrupt(other)
    expect(await on.errors()).toEqual([])
    expect(await on.errors(true)).toEqual([`error: ${other} holds other bytes than its name says`])
  })
})

describe('tails of a segment that is not whole', () => {
  const name = '000000010000000000000003'
  let keys: string[]
  beforeEach(() => void (keys = on.made.tails(1, '0/300000', [8192, 16384, 65536], ['2026-11-22T12:00:00Z'])))

  test('are there, and nothing is wrong', async () => expect(await on.verify(true)).toEqual([]))

  test.each([
    ['in the middle', 1, '0/302000', '0/304000'],
    ['at the beginning', 0, '0/300000', '0/302000'],
  ])('are missed %s', async (_where, index, from, to) => {
    on.bucket.remove(keys[index]!)
    expect(await on.errors()).toEqual([`error: ${missing(1, from, to)}, between tails of ${name}`])
  })

  test.each([
    ['of other bytes', () => zstdCompressSync(Buffer.alloc(8192, 7)), /does not go on from what is stored in front/],
    ['of fewer bytes', () => zstdCompressSync(Buffer.alloc(8000)), /holds 8000 bytes, not those that its name says/],
    ['that is no zstd', () => Buffer.from('x'), /is not valid zstd/],
  ])('are lost with one %s among them', async (_what, content, said) => {
    on.bucket.corrupt(keys[1]!, content)
    const found = await on.errors()
    expect(found).toEqual([
      expect.stringMatching(said),
      `error: ${missing(1, '0/302000', '0/304000')}, between tails of ${name}`,
    ])
    expect(found[0]).toContain(keys[1])
  })

  test('are lost where the last one has other bytes, although nothing is behind it', async () => {
    on.bucket.corrupt(keys[2]!, () => zstdCompressSync(Buffer.alloc(49_152, 7)))
    expect(await on.errors()).toEqual([expect.stringContaining(keys[2]!)])
  })

  test('are not missed where those of another session hold the same bytes', async () => {
    on.made.tails(1, '0/300000', [12_288, 40_960], ['2026-11-22T12:00:00Z'])
    on.bucket.remove(keys[1]!)
    expect(await on.verify(true)).toEqual([])
  })

  test('are not missed where the segment is whole, and one that is damaged then costs nothing', async () => {
    on.made.segment(1, '0/300000', ['2026-11-22T12:00:00Z'])
    on.bucket.remove(keys[1]!)
    expect(await on.verify(true)).toEqual([])
    on.bucket.corrupt(keys[2]!, () => Buffer.from('x'))
    expect(await on.verify(true)).toEqual([`warning: ${keys[2]!} is not valid zstd; its segment is stored whole`])
  })

  test('are two servers’ where both wrote it, and nothing is missing of either', async () => {
    on.made.tails(1, '0/300000', [4096, 20_480], ['2026-11-22T13:00:00Z'])
    expect(await on.errors(true)).toEqual([])
  })

  test('are history where a later backup begins behind them', async () => {
    on.bucket.remove(keys[1]!)
    on.wal(1, '0/400000', '0/600000')
    expect(await on.errors()).toHaveLength(2)
    on.backUp(23, '0/500028', on.first)
    expect(await on.errors()).toEqual([])
  })
})

describe('the chain of manifests', () => {
  test('tells of a base backup that was removed, and not of one that prune deleted or was deleting', async () => {
    const second = on.backUp(23, '0/200028', on.first)
    on.backUp(24, '0/200028', second)
    expect(await on.verify()).toEqual([])
    const key = on.bucket.keys().find((one) => one.includes(`${second.backup_id}/manifest-`))!
    on.remove(second.backup_id)
    const gone = 'the manifest before it is not the one that it names: it was removed or changed'
    expect(await on.verify()).toEqual([`error: ${gone}`])

    const { server, systemIdentifier } = on.made.home
    const id = '20261124T120000Z-0000'
    const prefix = `.postbox/prune/${server}/${systemIdentifier}/${id}`
    const own = key.split('/').slice(2).join('/')
    const groups = [{ kind: 'manifest', id: second.backup_id, because: 'x', keys: [own] }]
    const life = { server, system_identifier: systemIdentifier, plan_id: id, planned_at: '2026-11-24T12:00:00Z' }
    on.bucket.put(`${prefix}.json`, Buffer.from(JSON.stringify({ postbox_prune: 1, ...life, groups })))
    expect(await on.verify()).toEqual([`warning: ${gone}`])
    on.bucket.put(`${prefix}.closed.json`, Buffer.from(JSON.stringify({ postbox_prune_closed: 1, manifests: [own] })))
    expect(await on.verify()).toEqual([])
  })

  test('tells nothing where a new catalog knew of no backup before', async () => {
    on.backUp(23, '0/200028')
    expect(await on.verify()).toEqual([expect.stringMatching(/^warning: it names no manifest before it/)])
  })
})
