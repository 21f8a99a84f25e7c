import { createHash } from 'node:crypto'
import { zstdCompressSync } from 'node:zlib'
import type { S3Client } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { parseHistoryKey, parseSegmentKey, previousOfFirst, segmentKey } from '../../src/box/key-names.js'
import { openArchive, type Archive } from '../../src/keyholder/archive.js'
import { listHome } from '../../src/keyholder/list-server.js'
import { planRestore, type RestorePlan } from '../../src/keyholder/plan.js'
import { openDeletableArchive } from '../../src/keyholder/prune/deletable-archive.js'
import { prune } from '../../src/keyholder/prune/prune.js'
import { rebuildScript } from '../../src/keyholder/rebuild/rebuild.js'
import { parseTarget } from '../../src/keyholder/target.js'
import { verifyHome } from '../../src/keyholder/verify/verify-home.js'
import { WalMap } from '../../src/keyholder/wal-map.js'
import { makeSegment } from '../sandbox/make-wal.js'
import { LAST_2 } from '../sandbox/prunable-archive.js'
import { startS3, type LocalS3 } from '../sandbox/s3/server.js'
import { sdkClient } from '../sandbox/s3/test-grant.js'
import { SyntheticArchive } from '../sandbox/synthetic-archive.js'

// What whoever holds a grant can put behind the last segment: it must not stop a restore to a time before.

const MB = 1024 * 1024

let s3: LocalS3
let client: S3Client
let made: SyntheticArchive
let archive: Archive
let backupId: string
/** mark of the last honest segment */
let last: string
let count = 0

beforeAll(async () => {
  s3 = await startS3({ buckets: [{ name: 'b', versioned: true }] })
  client = sdkClient(s3)
  archive = openArchive(client, 'b')
})

afterAll(async () => {
  client.destroy()
  await s3.close()
})

// A backup at 10:00, WAL from 1 MiB up to 3 MiB with commits at 10:30 and 11:00, all stored a minute later.
beforeEach(() => {
  made = new SyntheticArchive(s3.bucket('b'), `db${++count}`)
  const wal = [
    ['0/100000', '10:30:00'],
    ['0/200000', '11:00:00'],
  ] as const
  const begun = { startedAt: day('10:00:00'), stoppedAt: day('10:05:00'), start: '0/100028', stop: '0/100100' }
  backupId = made.backup(begun).backup_id
  const keys = wal.map(([lsn, time]) => {
    return made.segment(1, lsn, [day(time)], { storedAt: new Date(Date.parse(day(time)) + 60_000) })
  })
  last = parseSegmentKey(keys.at(-1)!)!.sha12
})

const day = (time: string): string => `2026-11-22T${time}Z`
const sha256 = (bytes: Buffer): Buffer => createHash('sha256').update(bytes).digest()

/** A segment behind the last one, of a header that `change` has changed. */
function segmentBehind(change: (raw: Buffer) => void, commits: readonly string[] = []): Buffer {
  const { systemIdentifier } = made.home
  const times = commits.map((one) => BigInt(Date.parse(one)) * 1000n)
  const raw = makeSegment({ timeline: 1, lsn: 0x300000n, segmentBytes: MB, systemIdentifier, commits: times })
  change(raw)
  return raw
}

/** Stores the object that the next segment's name and its true `previous` promise, long after. Returns its key. */
function post(raw: Buffer, stored = zstdCompressSync(raw)): string {
  const key = segmentKey(made.home, { timeline: 1, start: 0x300000n }, MB, sha256(raw), last)
  made.bucket.put(key, stored, { storedAt: new Date(day('20:00:00')) })
  return key
}

function plan(target: string, backup: string | null = null): Promise<RestorePlan> {
  return planRestore(archive, {
    server: made.server,
    systemIdentifier: null,
    backupId: backup,
    target: parseTarget(target),
    inclusive: true,
    timeline: 'latest',
  })
}

const verifyProblems = async (): Promise<string[]> => {
  const { problems } = await verifyHome(archive, made.home, { only: null }, () => Promise.resolve())
  return problems.map(({ problem }) => problem)
}

const forged: [what: string, post: () => string][] = [
  ['one byte', () => post(Buffer.from('x'), Buffer.from('x'))],
  [
    'an object of other bytes than its name says',
    () =>
      post(
        segmentBehind(() => undefined),
        zstdCompressSync('x'),
      ),
  ],
  ['pages of no bytes', () => post(segmentBehind((raw) => raw.writeUInt32LE(0, 36)))],
  ['pages of three bytes', () => post(segmentBehind((raw) => raw.writeUInt32LE(3, 36)))],
  ['pages as large as can be', () => post(segmentBehind((raw) => raw.writeUInt32LE(0x80000000, 36)))],
  ['segments of no bytes', () => post(segmentBehind((raw) => raw.writeUInt32LE(0, 32)))],
  ['a header alone', () => post(segmentBehind(() => undefined).subarray(0, 40))],
  ['no bytes', () => post(Buffer.alloc(0))],
]

describe.each(forged)('a forged segment with %s behind the last one', (_, postIt) => {
  let key: string
  beforeEach(() => {
    key = postIt()
  })

  test('stops no restore to a time or position before, and is named', async () => {
    for (const backup of [null, backupId]) {
      const byTime = await plan(`time=${day('10:45:00')}`, backup)
      expect(byTime.target.kind).toBe('time')
      expect(byTime.lastCommitMicros).toBe(BigInt(Date.parse(day('11:00:00'))) * 1000n)
      expect(byTime.choice?.content.end).toBe('000000010000000000000002')
      expect(byTime.notes.join()).toContain(`recovery cannot go through ${key}`)
      expect((await plan('lsn=0/200028', backup)).target.kind).toBe('lsn')
    }
    expect((await plan('immediate')).target.kind).toBe('immediate')
    await expect(plan(`time=${day('12:00:00')}`)).rejects.toMatchObject({
      code: 'target_unreachable',
      message: expect.stringMatching(/2026-11-22T11:00:00.000000Z; recovery cannot go through db/),
    })
    await expect(plan('lsn=0/200051')).rejects.toMatchObject({ code: 'target_unreachable' })
  })

  test('is named by list and verify, and left to a rebuild', async () => {
    const named = expect.stringContaining(`recovery cannot go through ${key}`)
    expect(await verifyProblems()).toContainEqual(named)
    const listed = await listHome(archive, made.home)
    expect(listed.problems).toContainEqual(named)
    expect(listed.backups[0]!.window?.to_at).toBe('2026-11-22T11:00:00.000000Z')
    for (const readWal of [false, true]) {
      const notes: string[] = []
      const request = { home: made.home, readWal, forgetMissing: false, note: (text: string) => void notes.push(text) }
      for await (const piece of rebuildScript(archive, request)) {
        if (piece.kind === 'copy') for await (const row of piece.rows) void row
      }
      if (readWal) expect(notes.join()).toMatch(/the segment at 0\/300000 of timeline 1 is left out: /)
    }
  })
})

describe('a forged segment that is one by its header', () => {
  test('and whose commits are old stops no restore to a time before it was stored', async () => {
    post(segmentBehind(() => undefined, ['1999-01-01T00:00:00Z']))
    expect((await plan(`time=${day('10:45:00')}`)).target.kind).toBe('time')
    await expect(plan(`time=${day('12:00:00')}`)).rejects.toThrow(/after the last stored commit, of 2026-11-22T11:00/)
  })

  test('and whose commits are of no time that can be told has none', async () => {
    const raw = segmentBehind(() => undefined, [day('19:00:00')])
    raw.writeBigInt64LE(0x7fff_ffff_ffff_ffffn - 946_684_800_000_000n, 40 + 26)
    post(raw)
    expect((await listHome(archive, made.home)).backups[0]!.window?.to_at).toBe('2026-11-22T11:00:00.000000Z')
    expect((await plan('latest')).lastCommitMicros).toBe(BigInt(Date.parse(day('11:00:00'))) * 1000n)
  })
})

describe('a later first segment of a timeline that names no segment in front of it', () => {
  const first = { timeline: 2, lsn: '0/200000' } as const
  let front: string
  let historyMark: string

  // Timeline 2 began in the segment at 2 MiB, and a backup on it.
  const begin = (stopSegmentKey: boolean, frontIsStored: boolean) => {
    made = new SyntheticArchive(made.bucket, `db${++count}`)
    made.clock = () => new Date(day('10:00:00'))
    const inFront = made.segment(1, '0/100000', [day('10:00:00')])
    front = parseSegmentKey(inFront)!.sha12
    historyMark = parseHistoryKey(made.history(2, [[1, '0/280000']]))!.sha12
    const previous = previousOfFirst(front, historyMark)
    const key = made.segment(2, first.lsn, [day('10:01:00')], { previous })
    const second = made.segment(2, '0/300000', [day('10:02:00')], { previous: parseSegmentKey(key)!.sha12 })
    if (!frontIsStored) made.bucket.remove(inFront)
    const times = { startedAt: day('10:00:00'), stoppedAt: day('10:01:30') }
    const manifest = made.backup({ ...times, timeline: 2, start: '0/290028', stop: '0/300050' })
    if (!stopSegmentKey) return
    made.bucket.remove(made.bucket.keys(`${made.server}/`).find((one) => one.includes('/manifest-'))!)
    made.putManifest({ ...manifest, stop_segment_key: second })
  }

  /** Another content of the parent's segment in front, and of the first segment. */
  const postBoth = () => {
    made.clock = () => new Date(day('20:00:00'))
    made.segment(1, '0/100000', [day('19:00:00')])
    made.segment(2, first.lsn, [day('19:00:00')], { previous: previousOfFirst(null, historyMark) })
  }

  test.each([
    [false, true],
    [false, false],
    [true, true],
  ])(
    'takes nothing from a backup (which names its last segment: %s, the one in front is stored: %s)',
    async (...how) => {
      begin(...how)
      const before = await plan(`time=${day('10:01:45')}`)
      postBoth()
      for (const target of ['latest', 'immediate', `time=${day('10:01:45')}`]) {
        expect((await plan(target)).backup.backupId).toBe(before.backup.backupId)
        expect((await plan(target)).reachableLsn).toBe(0x400000n)
      }
      const deletable = openDeletableArchive(client, 'b')
      const retention = { ...LAST_2, pointInTimeSeconds: 0 }
      const { lives } = await prune(deletable, { server: made.server, retention, drop: [], confirm: false })
      expect(lives[0]!.decisions).toMatchObject([{ id: before.backup.backupId, state: 'good', action: 'keep' }])
    },
  )

  test('takes nothing from tails of the honest one', async () => {
    begin(false, true)
    made.bucket.remove(made.bucket.keys(made.walPrefix(2)).at(-1)!)
    const [honestFirst] = made.bucket.keys(made.walPrefix(2))
    made.bucket.remove(honestFirst!)
    made.clock = () => new Date(day('10:00:00'))
    made.tails(2, first.lsn, [8192, 16384], [day('10:01:00')], { previous: previousOfFirst(front, historyMark) })
    const tails = async () =>
      new WalMap(archive, made.home, MB).tails({ timeline: 2, start: 0x200000n }, { before: null, historyMark })
    const before = await tails()
    made.clock = () => new Date(day('20:00:00'))
    made.tails(2, first.lsn, [65536], [day('19:00:00')], { previous: previousOfFirst(null, historyMark) })
    expect((await tails()).partial!.mark).toBe(before.partial!.mark)
  })
})
