import { createHash } from 'node:crypto'
import { constants, zstdCompressSync } from 'node:zlib'
import type { S3Client } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { formatBackupId, historyKey, manifestKey, segmentKey, tailKey } from '../../src/box/key-names.js'
import { Manifest, parseManifest } from '../../src/box/manifest.js'
import { openArchive, type Archive } from '../../src/keyholder/archive.js'
import type { LocatedPart } from '../../src/keyholder/fetch-parts.js'
import { listHome } from '../../src/keyholder/list-server.js'
import { readBackup } from '../../src/keyholder/stored-backups.js'
import { findHistories, findSegment, readHistory, readSegment } from '../../src/keyholder/stored-wal.js'
import { verifyParts, verifyWal } from '../../src/keyholder/verify/verify-contents.js'
import { verifyHome } from '../../src/keyholder/verify/verify-home.js'
import { WalMap } from '../../src/keyholder/wal-map.js'
import { decompress, decompressFrame, framesOf } from '../../src/keyholder/zstd.js'
import { makeSegment } from '../sandbox/make-wal.js'
import { startS3, type LocalS3 } from '../sandbox/s3/server.js'
import { sdkClient } from '../sandbox/s3/test-grant.js'
import { SyntheticArchive } from '../sandbox/synthetic-archive.js'

// What whoever holds a grant can post is small, and must not take much memory.

const MB = 1024 * 1024
const BLOCK = 128 * 1024

let s3: LocalS3
let client: S3Client
let archive: Archive
let made: SyntheticArchive

beforeAll(async () => {
  s3 = await startS3({ buckets: [{ name: 'b', versioned: true }] })
  client = sdkClient(s3)
  archive = openArchive(client, 'b')
  made = new SyntheticArchive(s3.bucket('b'))
  made.backup({
    startedAt: '2026-11-22T10:00:00Z',
    stoppedAt: '2026-11-22T10:05:00Z',
    start: '0/100028',
    stop: '0/100100',
  })
  made.segment(1, '0/100000', ['2026-11-22T10:30:00Z'])
})

afterAll(async () => {
  client.destroy()
  await s3.close()
})

const sha256 = (bytes: Buffer): Buffer => createHash('sha256').update(bytes).digest()

/** A zstd frame of four bytes for each 128 KiB of zeros, which does not say how many; `first`: what it begins with instead. */
function bomb(bytes: number, first: Buffer = Buffer.alloc(0)): Buffer {
  const block = (type: number, size: number, isLast: boolean, content: Buffer) => {
    const header = Buffer.alloc(3)
    header.writeUIntLE((size << 3) | (type << 1) | Number(isLast), 0, 3)
    return Buffer.concat([header, content])
  }
  const zeros = Math.ceil(bytes / BLOCK)
  return Buffer.concat([
    Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38]),
    block(0, first.length, false, first),
    ...Array.from({ length: zeros }, (_, index) => block(1, BLOCK, index === zeros - 1, Buffer.from([0]))),
  ])
}

const header = (lsn: bigint) =>
  makeSegment({ timeline: 1, lsn, segmentBytes: MB, systemIdentifier: made.home.systemIdentifier }).subarray(0, 40)

const damaged = (key: string) =>
  expect.objectContaining({ code: 'object_damaged', message: expect.stringContaining(key) }) as Error

test('a frame is unpacked to its limit and no further, whatever it says of itself', async () => {
  const stored = bomb(200 * MB)
  expect(stored.length).toBeLessThan(7000)
  await expect(decompress(stored, 'key', 16 * MB)).rejects.toEqual(damaged('key'))
  await expect(decompressFrame(framesOf(stored, 'key')[0]!, 'key', 16 * MB)).rejects.toEqual(damaged('key'))
  expect((await decompress(bomb(16 * MB), 'key', 16 * MB)).length).toBe(16 * MB)
  // Each is small enough, and all together are not; and one says that it is larger than any memory.
  const few = Array.from({ length: 20 }, () => zstdCompressSync(Buffer.alloc(MB)))
  const unsized = few.map(() => bomb(MB))
  for (const frames of [few, unsized]) {
    await expect(decompress(Buffer.concat(frames), 'key', 16 * MB)).rejects.toEqual(damaged('key'))
    expect((await decompress(Buffer.concat(frames.slice(4)), 'key', 16 * MB)).length).toBe(16 * MB)
  }
  const boasting = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0xc0, 0x38, 0, 0, 0, 0, 0, 0, 0, 0x10, 1, 0, 0])
  await expect(decompress(boasting, 'key', 16 * MB)).rejects.toEqual(damaged('key'))
  const empty = zstdCompressSync(Buffer.alloc(0))
  expect(() => framesOf(Buffer.concat(Array.from({ length: 1000 }, () => empty)), 'key', MB)).toThrow(damaged('key'))
})

test('a segment that unpacks to more than its header says, or is no WAL, is object_damaged', async () => {
  const start = 0x200000n
  for (const stored of [bomb(200 * MB, header(start)), bomb(200 * MB)]) {
    const key = segmentKey(made.home, { timeline: 1, start }, MB, sha256(stored))
    made.bucket.put(key, stored)
    const name = key.split('/').at(-1)!.slice(0, 24)
    const [segment] = await findSegment(archive, made.home, name)
    const tooLarge = damaged(`${key} unpacks to more than the ${MB} bytes`)
    await expect(readSegment(archive, segment!)).rejects.toEqual(tooLarge)
    await expect(readSegment(archive, segment!, MB)).rejects.toEqual(tooLarge)
    const problems = await verifyWal(archive, made.home, 1, () => undefined)
    expect(problems.map(({ problem }) => problem)).toContainEqual(expect.stringContaining(key))
    const listed = await listHome(archive, made.home)
    expect(listed.problems).toContainEqual(expect.stringContaining(key))
    made.bucket.remove(key)
  }
})

test('a tail that unpacks to more than its name says is passed over', async () => {
  const [start, stored] = [0x400000n, bomb(200 * MB, header(0x400000n))]
  const key = tailKey(made.home, { timeline: 1, start }, MB, { from: start, to: start + 8192n }, sha256(stored))
  made.bucket.put(key, stored)
  const wal = new WalMap(archive, made.home, MB)
  expect(await wal.tails({ timeline: 1, start })).toMatchObject({ partial: null })
  expect(wal.problems).toContainEqual(`${key} unpacks to more than the 8192 bytes that it can hold: passed over`)
  const { problems } = await verifyHome(archive, made.home, { only: null }, () => Promise.resolve())
  expect(problems.map(({ problem }) => problem)).toContainEqual(expect.stringContaining(key))
})

test('a part that unpacks to more than its manifest says is object_damaged', async () => {
  const stored = bomb(200 * MB)
  const entry = { key: 'db1/part', bytes: stored.length, sha256: sha256(stored).toString('hex'), raw_bytes: MB }
  made.bucket.put(entry.key, stored)
  const parts: LocatedPart[] = []
  for await (const object of archive.list(entry.key)) parts.push({ entry, object })
  for (const [raw_bytes, most] of [
    [MB, MB],
    [Number.MAX_SAFE_INTEGER, 64 * MB],
  ] as const) {
    const located = parts.map((one) => ({ ...one, entry: { ...entry, raw_bytes } }))
    const [problem] = await verifyParts(archive, 'id', located, 1, () => undefined)
    expect(problem?.problem).toBe(`db1/part unpacks to more than the ${most} bytes that it can hold`)
  }
})

test('a manifest of millions of wrong elements is refused by its first', () => {
  const junk = (of: string) => `{"postbox_manifest":1,"kind":"base","archives":[${of}]}`
  const [zeros, parts] = ['0,'.repeat(1_000_000), '{},'.repeat(200_000)]
  for (const text of [junk(`${zeros}0`), junk(`{"parts":[${parts}{}]}`)]) {
    const { error } = Manifest.safeParse(JSON.parse(text))
    expect(error!.issues.length).toBeLessThan(20)
    expect(() => parseManifest('key', Buffer.from(text))).toThrow(expect.objectContaining({ code: 'manifest_invalid' }))
  }
})

test('manifests and histories that are larger than any are not even read', async () => {
  const id = formatBackupId(new Date('2026-11-23T10:00:00Z'), Buffer.from('abcd'))
  const key = manifestKey(made.home, id, sha256(Buffer.from('x')))
  made.bucket.put(key, Buffer.from('x'))
  const large: Archive = {
    ...archive,
    async *list(...asked) {
      for await (const object of archive.list(...asked)) yield { ...object, bytes: 1024 ** 3 }
    },
    read: () => Promise.reject(new Error('it was read')),
  }
  expect(await readBackup(large, made.home, id)).toMatchObject({
    state: 'damaged',
    suspicions: [`${key} has ${1024 ** 3} bytes, more than any manifest`],
  })
  made.bucket.remove(key)
  made.bucket.put(historyKey(made.home, 3, sha256(Buffer.from('x'))), Buffer.from('x'))
  const [history] = await findHistories(large, made.home, 3)
  await expect(readHistory(large, history!)).rejects.toEqual(damaged('00000003.history'))
})

test('large manifests are read one at a time', async () => {
  const id = (n: number) => formatBackupId(new Date('2026-11-24T10:00:00Z'), Buffer.from([n, n]))
  const content = Buffer.alloc(5 * MB, ' ')
  for (let n = 0; n < 4; n++) made.bucket.put(manifestKey(made.home, id(n), sha256(content)), content)
  let [reading, most] = [0, 0]
  const watched: Archive = {
    ...archive,
    async read(object) {
      if (object.bytes !== content.length) return archive.read(object)
      most = Math.max(most, ++reading)
      try {
        return await archive.read(object)
      } finally {
        reading -= 1
      }
    },
  }
  const { backups } = await listHome(watched, made.home)
  expect(backups.filter(({ state }) => state === 'damaged')).toHaveLength(4)
  expect(most).toBe(1)
})

test('what is compressed as ours is, of any level, still unpacks within its limit', async () => {
  const raw = makeSegment({ timeline: 1, lsn: 0n, segmentBytes: MB, systemIdentifier: made.home.systemIdentifier })
  for (const level of [1, 3, 19]) {
    const stored = zstdCompressSync(raw, { params: { [constants.ZSTD_c_compressionLevel]: level } })
    expect(raw.equals(await decompress(stored, 'key', MB))).toBe(true)
  }
})
