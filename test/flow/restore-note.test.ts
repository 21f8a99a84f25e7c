import { randomBytes } from 'node:crypto'
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { S3Client } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { parseSegmentKey } from '../../src/box/key-names.js'
import { restoreNote } from '../../src/box/restore-note.js'
import { openArchive } from '../../src/keyholder/archive.js'
import { readTails } from '../../src/keyholder/stored-tails.js'
import { linesOf, stepsOf } from '../sandbox/by-hand.js'
import { makeSegment } from '../sandbox/make-wal.js'
import { plainEnv, run } from '../sandbox/run.js'
import { startS3, type LocalS3 } from '../sandbox/s3/server.js'
import { sdkClient } from '../sandbox/s3/test-grant.js'
import { removeScratch, scratchDir } from '../sandbox/scratch.js'
import { SyntheticArchive, type Given } from '../sandbox/synthetic-archive.js'

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
  s3 = await startS3({ buckets: [{ name: 'b', versioned: true }] })
  client = sdkClient(s3)
})

afterAll(async () => {
  client.destroy()
  await s3.close()
  await removeScratch()
})

beforeEach(async () => {
  made = new SyntheticArchive(s3.bucket('b'), `server${++count}`)
  const { systemIdentifier } = made.home
  segment = makeSegment({ timeline: 1, lsn: START, segmentBytes: MB, systemIdentifier })
  randomBytes(20_000).copy(segment, 40)
  home = await scratchDir('by-hand')
})

const put = (from: number, to: number, given: Given = {}): string =>
  made.tail(1, START, segment.subarray(0, to), from, given)

/** Runs a shell on lines of the note, with what step 1 asks for. */
function shell(lines: string): Promise<string> {
  const env = {
    ...{ ENDPOINT: s3.endpoint, REGION: s3.region, BUCKET: 'b', PATH: plainEnv.PATH, LC_ALL: 'C' },
    ...{ AWS_ACCESS_KEY_ID: s3.accessKey, AWS_SECRET_ACCESS_KEY: s3.secretKey },
    ...{ SERVER: made.server, SYSTEM: made.home.systemIdentifier },
  }
  return run('sh', ['-euc', `exec 2>&1\n${lines}`], { cwd: home, env })
}

const lines = (number: string): string => linesOf(made.server, [number])

/** Steps 5 to 7 for a backup that began in a segment of timeline 1, and what they print. */
async function takeWal(begin: string, stop = ''): Promise<string> {
  await mkdir(join(home, 'data'))
  await writeFile(join(home, 'data/backup_label'), `START WAL LOCATION: 0/700028 (file ${begin})\nLABEL: x\n`)
  return shell([lines('2'), `size=${MB} stop=${stop}`, lines('5'), lines('6'), lines('7')].join('\n'))
}

const plain = () => readdir(join(home, 'plain'))
const chosen = async () => (await readFile(join(home, 'wal.keys'), 'utf8')).trimEnd().split('\n')

/** What Postbox makes of the same tails. */
async function joinedByPostbox(): Promise<Buffer> {
  const { partial } = await readTails(openArchive(client, 'b'), made.home, NAME, { warn: () => undefined })
  return partial!.padded
}

test('the note is the page about restoring by hand, with the name of the server', async () => {
  const page = await readFile(join(import.meta.dirname, '../../docs/restore-by-hand.md'), 'utf8')
  expect(restoreNote('db1').content.toString()).toBe(page)
  expect(restoreNote('other-1').content.toString()).toMatch(/^# Restoring other-1 by hand\n[^]*^SERVER=other-1 /m)
})

describe('the note joins tails', () => {
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
  ] as [string, [number, number][], number][])('%s as Postbox does', async (_, ranges, length) => {
    for (const [from, to] of ranges) put(from, to)
    expect(await takeWal(NAME)).toContain(`${NAME}: ${length} of ${MB} bytes\n`)
    expect(await plain()).toEqual([NAME])
    const byHand = await readFile(join(home, 'plain', NAME))
    expect(byHand.equals(Buffer.concat([segment.subarray(0, length), Buffer.alloc(MB - length)]))).toBe(true)
    expect(byHand.equals(await joinedByPostbox())).toBe(true)
  })

  test('and goes round a damaged one', async () => {
    put(0, 100)
    s3.bucket('b').corrupt(put(100, 200))
    put(0, 300)
    await takeWal(NAME)
    expect((await readFile(join(home, 'plain', NAME))).equals(await joinedByPostbox())).toBe(true)
  })

  test('of the server whose segments it takes, and of no other', async () => {
    const six = parseSegmentKey(made.segment(1, '0/600000'))!
    put(0, 5000, { previous: '000000000000' })
    const ours = Buffer.from(segment.subarray(0, 300))
    ours[200] = ~ours[200]!
    made.tail(1, START, ours, 0, { previous: six.sha12 })
    await takeWal(six.name)
    expect((await readFile(join(home, 'plain', NAME))).subarray(0, 300).equals(ours)).toBe(true)
  })

  test('but none of a segment that is there whole, without a beginning, or from before the backup', async () => {
    const seven = made.segment(1, '0/700000')
    put(0, 100)
    made.tail(1, 0x600000n, segment.subarray(0, 100))
    made.tail(1, 0x800000n, segment.subarray(0, 100), 50)
    await takeWal(NAME, seven)
    expect(await plain()).toEqual([NAME])
    const whole = await readFile(join(home, 'plain', NAME))
    expect(whole.subarray(40, 100).equals(segment.subarray(40, 100))).toBe(false)
  })
})

describe('the note chooses WAL', () => {
  const mark = (key: string): string => parseSegmentKey(key)!.sha12
  const before = '0/600000'

  test('from the segment on in which the backup began, over a change of timelines', async () => {
    made.segments(1, before, '0/A00000')
    made.history(2, [[1, '0/980000']])
    made.segments(2, '0/900000', '0/B00000')
    expect(await takeWal(NAME)).not.toMatch(/not|two/)
    expect((await plain()).sort()).toEqual(
      [
        ...['000000010000000000000007', '000000010000000000000008', '000000010000000000000009'],
        ...['00000002.history', '000000020000000000000009', '00000002000000000000000A'],
      ].sort(),
    )
  })

  test('of more segments than one listing holds', async () => {
    made.segments(1, '0/700000', '0/48700000')
    const list = `list "$SERVER/$SYSTEM/wal/00000001/" > listed; wc -l < listed; list "$SERVER/$SYSTEM/wal/" '' / | wc -l`
    const said = await shell(`${lines('2')}\n${list}`)
    expect(said).toMatch(/^1152\n\s*1$/m)
    const names = (await readFile(join(home, 'listed'), 'utf8')).trimEnd().split('\n')
    expect(new Set(names).size).toBe(1152)
  })

  test('of the server that the backup is of, where another wrote the same names before', async () => {
    const seven = made.segment(1, '0/700000')
    const foreign = made.segment(1, '0/800000', ['2026-01-01'], { previous: mark(seven) })
    made.segment(1, '0/900000', ['2026-01-02'], { previous: mark(foreign) })
    made.clock = () => new Date(Date.now() + 60_000)
    const eight = made.segment(1, '0/800000', [], { previous: mark(seven) })
    const nine = made.segment(1, '0/900000', [], { previous: mark(eight) })
    await takeWal(NAME, eight)
    expect(await chosen()).toEqual([seven, eight, nine])
  })

  test('that was stored first, and says so, where nothing tells which', async () => {
    const seven = made.segment(1, '0/700000')
    const eight = made.segment(1, '0/800000', [], { previous: mark(seven) })
    made.clock = () => new Date(Date.now() + 60_000)
    made.segment(1, '0/800000', ['2026-01-01'], { previous: mark(seven) })
    expect(await takeWal(NAME, seven)).toContain('two servers wrote 000000010000000000000008')
    expect(await chosen()).toEqual([seven, eight])
  })

  test('and nothing behind the end of that server, be it the only one under its name', async () => {
    const seven = made.segment(1, '0/700000')
    made.segment(1, '0/800000', [], { previous: '000000000000' })
    expect(await takeWal(NAME, seven)).toContain('is of another server')
    expect(await chosen()).toEqual([seven])
  })

  test('over a gap, and says where it is', async () => {
    const seven = made.segment(1, '0/700000')
    const nine = made.segment(1, '0/900000')
    expect(await takeWal(NAME, seven)).toContain('the segment behind 000000010000000000000007 is not there whole')
    expect(await chosen()).toEqual([seven, nine])
  })

  test('and leaves out, with a word, what is not what its name says', async () => {
    const seven = made.segment(1, '0/700000')
    s3.bucket('b').corrupt(seven)
    const said = await takeWal(NAME, seven).catch((thrown: Error) => thrown.message)
    expect(said).toMatch(/not what was stored|zstd/)
    expect(await plain()).not.toContain('000000010000000000000008')
  })
})

const aws = await run('sh', ['-c', 'command -v aws'], { env: { ...process.env } as Record<string, string> }).catch(
  () => null,
)

test.skipIf(aws === null)('with the aws command line the note lists and fetches the same', async () => {
  made.segments(1, '0/600000', '0/900000')
  const asks = `list "$SERVER/" '' /; list "$SERVER/$SYSTEM/wal/00000001/" "$SERVER/$SYSTEM/wal/00000001/${NAME}"; list none/
    versions "$SERVER/$SYSTEM/wal/" | cut -d ' ' -f 3; versions none/
    fetch_version $(versions "$SERVER/$SYSTEM/wal/" | head -n 1) one/file; list "$SERVER/$SYSTEM/wal/0" | sed 's|\\([^ ]*\\) .*|\\1 all/x|' | head -n 1 | fetch
    sha256sum one/file all/x; rm -r one all`
  const withAws = stepsOf(made.server).find(({ kind }) => kind === 'aws')!.lines
  const curl = await shell(`${lines('2')}\n${asks}`)
  const path = aws!.slice(0, aws!.lastIndexOf('/'))
  const same = await shell(
    `PATH=${path}:$PATH HOME=${process.env['HOME']!}; export HOME; ${lines('2')}\n${withAws}\n${asks}`,
  )
  const plainly = (text: string) => text.replaceAll(/ \d{4}-\d\d-\d\dT\S+/g, '')
  expect(plainly(same)).toBe(plainly(curl))
})
