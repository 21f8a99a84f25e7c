import type { S3Client } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { openArchive, type Archive } from '../../src/keyholder/archive.js'
import { listHome } from '../../src/keyholder/list-server.js'
import { planRestore, type RestorePlan, type RestoreRequest } from '../../src/keyholder/plan.js'
import { parseTarget } from '../../src/keyholder/target.js'
import { formatLsn } from '../../src/wal/lsn.js'
import { startS3, type LocalS3 } from '../sandbox/s3/server.js'
import { sdkClient } from '../sandbox/s3/test-grant.js'
import { SyntheticArchive } from '../sandbox/synthetic-archive.js'

const MB = 1024 * 1024

let s3: LocalS3
let client: S3Client
let made: SyntheticArchive
let archive: Archive
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

const day = (time: string): string => `2026-11-22T${time}Z`
const micros = (time: string): bigint => BigInt(Date.parse(day(time))) * 1000n
const COMMITS = [day('13:00:00'), day('13:30:00'), day('14:00:00')]

// A backup from 1 MiB to 2 MiB; whole segments up to 4 MiB, with a commit at 11:00.
beforeEach(() => {
  made = new SyntheticArchive(s3.bucket('b'), `db${++count}`)
  made.backup({ startedAt: day('10:00:00'), stoppedAt: day('10:05:00'), start: '0/100028', stop: '0/200100' })
  made.segments(1, '0/100000', '0/300000')
  made.segment(1, '0/300000', [day('11:00:00')])
})

function plan(target: string, more: Partial<RestoreRequest> = {}): Promise<RestorePlan> {
  const request = { server: made.server, systemIdentifier: null, backupId: null, inclusive: true } as const
  return planRestore(archive, { ...request, target: parseTarget(target), timeline: 'latest', ...more })
}

const reached = ({ reachableLsn, lastCommitMicros, timeline }: RestorePlan) => ({
  lsn: formatLsn(reachableLsn),
  commit: lastCommitMicros,
  timeline,
})

describe('the plan of a restore whose last segment is in tails', () => {
  // Three commit records of 40 bytes behind the header of 40; the last one is cut.
  beforeEach(() => void made.tails(1, '0/400000', [50, 120, 140], COMMITS))

  test('goes to the last tail and to the last commit that is whole in them', async () => {
    const latest = await plan('latest')
    expect(reached(latest)).toEqual({ lsn: '0/40008C', commit: micros('13:30:00'), timeline: 1 })
    expect(latest.notes).toEqual([])
  })

  test('takes times up to that commit and refuses later ones', async () => {
    expect((await plan(`time=${day('13:00:00')}`)).target.kind).toBe('time')
    expect((await plan(`time=${day('13:30:00')}`)).target).toEqual({ kind: 'latest' })
    await expect(plan(`time=${day('13:30:01')}`)).rejects.toThrow(/last stored commit, of 2026-11-22T13:30:00/)
  })

  test('takes positions up to the last whole record and refuses those behind it', async () => {
    expect((await plan('lsn=0/400050')).target.kind).toBe('lsn')
    await expect(plan('lsn=0/400051')).rejects.toThrow(/beyond the stored WAL, which ends at 0\/40008C/)
  })

  test('is what the list shows', async () => {
    const { backups, wal_gaps, problems } = await listHome(archive, made.home)
    expect(backups[0]).toMatchObject({
      state: 'restorable',
      window: { to_at: '2026-11-22T13:30:00.000000Z', to_lsn: '0/40008C' },
    })
    expect([wal_gaps, problems]).toEqual([[], []])
  })

  test('counts no tail of a segment that is stored whole', async () => {
    made.segment(1, '0/400000', COMMITS)
    expect(reached(await plan('latest'))).toEqual({ lsn: '0/500000', commit: micros('14:00:00'), timeline: 1 })
  })

  test('ends at a damaged tail, and says which', async () => {
    const key = s3
      .bucket('b')
      .keys(`${made.server}/`)
      .find((one) => one.includes('/0000000000400032-'))!
    s3.bucket('b').corrupt(key)
    const latest = await plan('latest')
    expect(reached(latest)).toEqual({ lsn: '0/400032', commit: micros('11:00:00'), timeline: 1 })
    expect(latest.notes.join()).toContain(key)
    expect(latest.notes.join()).toContain('tails of 000000010000000000000004 end at 0/400032 and go on at 0/400078')
    expect((await listHome(archive, made.home)).problems.join()).toContain(key)
  })

  test('says where WAL is missing before it goes on', async () => {
    made.segment(1, '0/500000')
    expect((await plan('latest')).notes).toEqual([
      'recovery ends at 0/40008C; the WAL from there to 0/500000 is missing',
    ])
    const { wal_gaps } = await listHome(archive, made.home)
    expect(wal_gaps).toEqual([{ timeline: 1, from_lsn: '0/40008C', to_lsn: '0/500000' }])
  })
})

describe('a segment of which all is in tails', () => {
  test('counts as stored, between segments and at the end', async () => {
    made.tails(1, '0/400000', [5000, MB], COMMITS)
    made.segment(1, '0/500000')
    made.tails(1, '0/600000', [MB])
    expect(reached(await plan('latest'))).toEqual({ lsn: '0/700000', commit: micros('14:00:00'), timeline: 1 })
    const { wal_gaps, backups } = await listHome(archive, made.home)
    expect([wal_gaps, backups[0]!.window!.to_lsn]).toEqual([[], '0/700000'])
  })

  test.each([
    ['the first that a backup needs', '1', '0/100000'],
    ['the one that a backup ends in', '2', '0/200000'],
  ])('counts when it is %s', async (_, digit, lsn) => {
    s3.bucket('b').remove(s3.bucket('b').keys(`${made.walPrefix(1)}00000001000000000000000${digit}`)[0]!)
    await expect(plan('latest')).rejects.toMatchObject({ code: 'wal_missing' })
    made.tails(1, lsn, [300, MB])
    expect(reached(await plan('latest'))).toEqual({ lsn: '0/400000', commit: micros('11:00:00'), timeline: 1 })
  })

  test('is not needed where a backup ends before the last tail', async () => {
    const stop = (digit: string) => s3.bucket('b').keys(`${made.walPrefix(1)}00000001000000000000000${digit}`)[0]!
    for (const digit of ['2', '3']) s3.bucket('b').remove(stop(digit))
    made.tails(1, '0/200000', [0xff])
    await expect(plan('latest')).rejects.toThrow(/000000010000000000000002/)
    made.tails(1, '0/200000', [0x100])
    expect(reached(await plan('immediate')).lsn).toBe('0/200100')
  })
})

describe('the plan of a restore to a timeline that is in tails alone', () => {
  // Timeline 2 left 1 inside the segment at 3 MiB.
  beforeEach(() => void made.history(2, [[1, '0/300080']]))

  test('enters it when they go beyond its beginning', async () => {
    made.tails(2, '0/300000', [100, 200], [day('12:00:00')])
    expect(reached(await plan('latest'))).toEqual({ lsn: '0/3000C8', commit: micros('12:00:00'), timeline: 2 })
    expect((await listHome(archive, made.home)).backups[0]!.window).toMatchObject({ timeline: 2, to_lsn: '0/3000C8' })
  })

  test('stays on its parent when they end before, where it has more', async () => {
    made.tails(2, '0/300000', [0x80])
    const latest = await plan('latest')
    expect(reached(latest)).toEqual({ lsn: '0/400000', commit: micros('11:00:00'), timeline: 1 })
    expect(latest.notes.join()).toContain('timeline 2 cannot be entered: WAL is missing from 0/300080')
  })

  test("does not take the parent's tails behind its beginning for its own", async () => {
    made.tails(1, '0/400000', [200], [day('12:00:00')])
    made.segment(2, '0/300000', [day('11:30:00')])
    expect(reached(await plan('latest'))).toEqual({ lsn: '0/400000', commit: micros('11:30:00'), timeline: 2 })
    expect(reached(await plan('latest', { timeline: 1 }))).toMatchObject({ lsn: '0/4000C8', timeline: 1 })
  })
})
