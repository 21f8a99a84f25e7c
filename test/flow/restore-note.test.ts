import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { randomBytes } from 'node:crypto'
import type { S3Client } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { restoreNote } from '../../src/box/restore-note.js'
import { openArchive } from '../../src/keyholder/archive.js'
import { readTails } from '../../src/keyholder/stored-tails.js'
import { makeSegment } from '../sandbox/make-wal.js'
import { run } from '../sandbox/run.js'
import { startS3, type LocalS3 } from '../sandbox/s3/server.js'
import { sdkClient } from '../sandbox/s3/test-grant.js'
import { removeScratch, scratchDir } from '../sandbox/scratch.js'
import { SyntheticArchive } from '../sandbox/synthetic-archive.js'

const MB = 1024 * 1024
const START = 0x700000n
const NAME = '000000010000000000000007'

let s3: LocalS3
let client: S3Client
let made: SyntheticArchive
let segment: Buffer
let home: string
let count = 0

beforeAll(async () => {
  s3 = await startS3({ buckets: [{ name: 'b' }] })
  client = sdkClient(s3)
})

afterAll(async () => {
  client.destroy()
  await s3.close()
  await removeScratch()
})

beforeEach(async () => {
  made = new SyntheticArchive(s3.bucket('b'), `db${++count}`)
  const { systemIdentifier } = made.home
  segment = makeSegment({ timeline: 1, lsn: START, segmentBytes: MB, systemIdentifier })
  randomBytes(20_000).copy(segment, 40)
  home = await scratchDir('by-hand')
  for (const directory of ['backup', 'plain', 'tail']) await mkdir(join(home, directory))
  await writeFile(join(home, 'backup/manifest-0123456789ab.json'), JSON.stringify({ wal_segment_bytes: MB }))
})

const put = (from: number, to: number): string => made.tail(1, START, segment.subarray(0, to), from)

/** Runs the note's lines that join tails in a shell, on what the bucket holds. */
async function joinByHand(): Promise<string[]> {
  const prefix = `${made.server}/${made.home.systemIdentifier}/`
  for (const key of s3.bucket('b').keys(prefix)) {
    const file = join(home, key.slice(prefix.length))
    await mkdir(dirname(file), { recursive: true })
    await writeFile(file, s3.bucket('b').get(key))
  }
  const lines = restoreNote(made.server).content.toString().split('\n')
  const first = lines.findIndex((line) => line.startsWith('    size='))
  const last = lines.findIndex((line, index) => index > first && line === '    done')
  await run('sh', ['-euc', lines.slice(first, last + 1).join('\n')], { cwd: home })
  return readdir(join(home, 'plain'))
}

/** What Postbox makes of the same tails. */
async function joinedByPostbox(): Promise<Buffer> {
  const { partial } = await readTails(openArchive(client, 'b'), made.home, NAME, { warn: () => undefined })
  return partial!.padded
}

test.each([
  [
    'of one session',
    [
      [0, 100],
      [100, 5000],
      [5000, 5001],
    ],
    5001,
  ],
  [
    'of sessions that repeat each other',
    [
      [0, 100],
      [100, 200],
      [0, 150],
      [150, 4000],
      [0, 3000],
      [3000, 9000],
    ],
    9000,
  ],
  [
    'with a gap',
    [
      [0, 100],
      [100, 200],
      [201, 300],
    ],
    200,
  ],
] as [string, [number, number][], number][])('the note joins tails %s as Postbox does', async (_, ranges, length) => {
  for (const [from, to] of ranges) put(from, to)
  expect(await joinByHand()).toEqual([NAME])
  const byHand = await readFile(join(home, 'plain', NAME))
  expect(byHand.equals(Buffer.concat([segment.subarray(0, length), Buffer.alloc(MB - length)]))).toBe(true)
  expect(byHand.equals(await joinedByPostbox())).toBe(true)
})

test('the note goes round a damaged tail', async () => {
  put(0, 100)
  s3.bucket('b').corrupt(put(100, 200))
  put(0, 300)
  await joinByHand()
  expect((await readFile(join(home, 'plain', NAME))).equals(await joinedByPostbox())).toBe(true)
})

test('the note leaves a segment alone that is there whole, and makes none without a beginning', async () => {
  put(0, 100)
  await writeFile(join(home, 'plain', NAME), 'whole')
  made.tail(1, 0x800000n, segment.subarray(0, 100), 50)
  expect(await joinByHand()).toEqual([NAME])
  expect(await readFile(join(home, 'plain', NAME), 'utf8')).toBe('whole')
})
