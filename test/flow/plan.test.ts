import type { S3Client } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { openArchive, type Archive } from '../../src/keyholder/archive.js'
import { planRestore, type RestorePlan, type RestoreRequest } from '../../src/keyholder/plan.js'
import { parseTarget } from '../../src/keyholder/target.js'
import { formatLsn } from '../../src/wal/lsn.js'
import { startS3, type LocalS3 } from '../sandbox/s3/server.js'
import { sdkClient } from '../sandbox/s3/test-grant.js'
import { SyntheticArchive } from '../sandbox/synthetic-archive.js'

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

// Backup A from 1 MiB at 10:00, backup B from 5 MiB at 12:00, WAL up to 8 MiB with commits at 11:00 and 13:00.
beforeEach(() => {
  made = new SyntheticArchive(s3.bucket('b'), `db${++count}`)
  made.backup({ startedAt: day('10:00:00'), stoppedAt: day('10:05:00'), start: '0/100028', stop: '0/100100' })
  made.backup({ startedAt: day('12:00:00'), stoppedAt: day('12:05:00'), start: '0/500028', stop: '0/600100' })
  made.segments(1, '0/100000', '0/300000')
  made.segment(1, '0/300000', [day('11:00:00')])
  made.segments(1, '0/400000', '0/700000')
  made.segment(1, '0/700000', [day('12:30:00'), day('13:00:00')])
})

const day = (time: string): string => `2026-11-22T${time}Z`

function plan(target: string, more: Partial<RestoreRequest> = {}): Promise<RestorePlan> {
  return planRestore(archive, {
    server: made.server,
    systemIdentifier: null,
    backupId: null,
    target: parseTarget(target),
    inclusive: true,
    timeline: 'latest',
    ...more,
  })
}

const started = (plan_: RestorePlan): string => plan_.backup.manifest.started_at

describe('the plan of a restore', () => {
  test('takes the newest backup and everything that is stored', async () => {
    const latest = await plan('latest')
    expect(started(latest)).toBe(day('12:00:00'))
    expect(formatLsn(latest.reachableLsn)).toBe('0/800000')
    expect(latest.lastCommitMicros).toBe(BigInt(Date.parse(day('13:00:00'))) * 1000n)
    expect(latest.notes).toEqual([])
  })

  test('takes the newest backup that ended before the time', async () => {
    expect(started(await plan(`time=${day('12:45:00')}`))).toBe(day('12:00:00'))
    expect(started(await plan(`time=${day('12:05:00')}`))).toBe(day('12:00:00'))
    expect(started(await plan(`time=${day('12:04:59.999')}`))).toBe(day('10:00:00'))
  })

  test('takes a backup that was stored hours after it says that it ended only where no other will do', async () => {
    const late = (hours: number) => ({ storedAt: new Date(Date.parse(day('12:05:00')) + hours * 3_600_000) })
    made.backup(
      { startedAt: day('11:30:00'), stoppedAt: day('11:40:00'), start: '0/500028', stop: '0/600200', label: 'forged' },
      late(24),
    )
    const honest = await plan(`time=${day('11:45:00')}`)
    expect(started(honest)).toBe(day('10:00:00'))
    expect(honest.notes).toEqual([
      expect.stringMatching(/^suspicious: backup 20261122T113000Z-.* was stored at 2026-11-23/),
    ])
    expect(started(await plan('latest', { backupId: honest.notes[0]!.split(' ')[2]! }))).toBe(day('11:30:00'))
    // A bucket that was copied: all of it seems so.
    made = new SyntheticArchive(s3.bucket('b'), `db${++count}`)
    made.clock = () => late(24).storedAt
    made.backup({ startedAt: day('10:00:00'), stoppedAt: day('10:05:00'), start: '0/100028', stop: '0/100100' })
    made.backup({ startedAt: day('12:00:00'), stoppedAt: day('12:05:00'), start: '0/500028', stop: '0/600100' })
    made.segments(1, '0/100000', '0/700000')
    expect(started(await plan('latest'))).toBe(day('12:00:00'))
  })

  test('refuses a time before the first backup ended, and says when that was', async () => {
    await expect(plan(`time=${day('10:04:59')}`)).rejects.toMatchObject({
      code: 'target_unreachable',
      message: expect.stringContaining('ended at 2026-11-22T10:05:00Z'),
    })
    await expect(plan(`time=${day('09:00:00')}`)).rejects.toThrow(/ended at 2026-11-22T10:05:00Z/)
  })

  test('refuses a time after the last stored commit, and says when that was', async () => {
    await expect(plan(`time=${day('13:00:00.000001')}`)).rejects.toMatchObject({
      code: 'target_unreachable',
      message: expect.stringContaining('2026-11-22T13:00:00.000000Z'),
      hint: expect.stringContaining('--target latest'),
    })
  })

  test('recovers everything for the time of the last commit, since no later one would tell Postgres to stop', async () => {
    expect((await plan(`time=${day('13:00:00')}`)).target).toEqual({ kind: 'latest' })
    expect((await plan(`time=${day('13:00:00')}`, { inclusive: false })).target.kind).toBe('time')
    expect((await plan(`time=${day('12:59:59')}`)).target.kind).toBe('time')
  })

  test('refuses a time behind a backup after which nothing was committed', async () => {
    s3.bucket('b').remove(s3.bucket('b').keys(`${made.walPrefix(1)}000000010000000000000007`)[0]!)
    await expect(plan(`time=${day('12:30:00')}`)).rejects.toThrow(/nothing is stored that was committed later/)
  })

  test('takes the newest backup that ended before the position', async () => {
    expect(started(await plan('lsn=0/600100'))).toBe(day('12:00:00'))
    expect(started(await plan('lsn=0/6000FF'))).toBe(day('10:00:00'))
    await expect(plan('lsn=0/1000FF')).rejects.toMatchObject({ code: 'target_unreachable' })
  })

  test('refuses a position behind the last record, even inside the last segment', async () => {
    // two records of 40 bytes behind the header of 40
    expect((await plan('lsn=0/700050')).target.kind).toBe('lsn')
    await expect(plan('lsn=0/700051')).rejects.toThrow(/beyond the stored WAL, which ends at 0\/800000/)
    await expect(plan('lsn=0/900000')).rejects.toThrow(/beyond the stored WAL/)
  })

  test('says that a transaction and a name cannot be looked up', async () => {
    expect((await plan('xid=700')).notes.join()).toContain('cannot be told')
    expect((await plan('name=x')).notes.join()).toContain('cannot be told')
  })

  test('takes an older backup when WAL that the newest needs is missing, and says so', async () => {
    s3.bucket('b').remove(s3.bucket('b').keys(`${made.walPrefix(1)}000000010000000000000006`)[0]!)
    const older = await plan('immediate')
    expect(started(older)).toBe(day('10:00:00'))
    expect(older.notes.join()).toContain('000000010000000000000006')
    expect(formatLsn(older.reachableLsn)).toBe('0/600000')
    expect((await plan('latest')).notes.join()).toContain('the WAL from there to 0/700000 is missing')
  })

  test('names the missing segments of a backup that was asked for', async () => {
    for (const name of ['5', '6']) {
      s3.bucket('b').remove(s3.bucket('b').keys(`${made.walPrefix(1)}00000001000000000000000${name}`)[0]!)
    }
    const backupId = (await plan('latest', { timeline: 'current' })).notes[0]!.match(/\d{8}T\d{6}Z-\w{4}/)![0]
    await expect(plan('latest', { backupId })).rejects.toMatchObject({
      code: 'wal_missing',
      message: expect.stringContaining('000000010000000000000005, 000000010000000000000006'),
    })
  })

  test('does not count on a segment whose own name is its end', async () => {
    made = new SyntheticArchive(s3.bucket('b'), `db${++count}`)
    made.backup({ startedAt: day('10:00:00'), stoppedAt: day('10:05:00'), start: '0/100028', stop: '0/200000' })
    made.segment(1, '0/100000')
    expect(formatLsn((await plan('immediate')).reachableLsn)).toBe('0/200000')
  })

  test('refuses a server and a backup that are not there', async () => {
    await expect(plan('latest', { server: 'other' })).rejects.toMatchObject({ code: 'backup_missing' })
    await expect(plan('latest', { backupId: '20200101T000000Z-0000' })).rejects.toMatchObject({
      code: 'backup_missing',
    })
  })
})

describe('the plan of a restore over timelines', () => {
  // Timeline 2 left 1 inside the segment at 7 MiB and goes on to 9 MiB.
  beforeEach(() => {
    made.history(2, [[1, '0/700080']])
    made.segment(2, '0/700000', [day('12:30:00')])
    made.segment(2, '0/800000', [day('14:00:00')])
  })

  test('follows the newest timeline that can be reached', async () => {
    const latest = await plan('latest')
    expect(latest.timeline).toBe(2)
    expect(formatLsn(latest.reachableLsn)).toBe('0/900000')
    expect(latest.lastCommitMicros).toBe(BigInt(Date.parse(day('14:00:00'))) * 1000n)
  })

  test('follows no timeline that was begun after the time, where another reaches it', async () => {
    const before = await plan(`time=${day('12:45:00')}`)
    expect(before.timeline).toBe(1)
    expect(before.notes.join()).toMatch(
      /timeline 2 was begun after that time, at .*: it is followed by --target-timeline 2/,
    )
    expect((await plan(`time=${day('12:45:00')}`, { timeline: 2 })).timeline).toBe(2)
    expect((await plan(`time=${day('13:30:00')}`)).timeline).toBe(2)
    s3.bucket('b').remove(made.history(2, [[1, '0/700080']]))
    made.clock = () => new Date(day('12:40:00'))
    made.history(2, [[1, '0/700080']])
    expect(await plan(`time=${day('12:45:00')}`)).toMatchObject({ timeline: 2, notes: [] })
  })

  test('stays on the timeline that was asked for', async () => {
    for (const timeline of [1, 'current'] as const) {
      const own = await plan('latest', { timeline })
      expect(own.timeline).toBe(1)
      expect(formatLsn(own.reachableLsn)).toBe('0/800000')
    }
    await expect(plan('latest', { timeline: 3 })).rejects.toThrow(/no stored backup of .* leads to timeline 3/)
  })

  test.each([false, true])(
    'takes the end of a timeline that was left from the next one (by its tails: %s)',
    async (tails) => {
      const old = s3.bucket('b').keys(`${made.walPrefix(1)}000000010000000000000007`)[0]!
      const next = s3.bucket('b').keys(`${made.walPrefix(2)}000000020000000000000007`)[0]!
      s3.bucket('b').remove(old)
      if (tails) {
        s3.bucket('b').remove(next)
        made.tails(2, '0/700000', [100, 200], [day('12:30:00')])
      }
      const left = await plan('latest', { timeline: 1 })
      expect(formatLsn(left.reachableLsn)).toBe('0/700080')
      expect(left.lastCommitMicros).toBe(BigInt(Date.parse(day('12:30:00'))) * 1000n)
      expect(left.notes.join()).toContain(
        'timeline 1 was left at 0/700080; its end is taken from 000000020000000000000007',
      )
      const [of, name] = ['000000020000000000000007', '000000010000000000000007']
      expect(left.choice!.beginningOf(name)).toEqual({ name: of, upTo: 0x700080n })
      expect([left.choice!.tailMark(of) !== null, left.choice!.isBehind('000000010000000000000008')]).toEqual([
        tails,
        true,
      ])
      // What the old timeline has beyond the switch is its own.
      made.segment(1, '0/700000', [day('12:30:00')])
      expect(formatLsn((await plan('latest', { timeline: 1 })).reachableLsn)).toBe('0/800000')
    },
  )

  test('needs the segment in which the new timeline begins, and says so when it is missing', async () => {
    s3.bucket('b').remove(s3.bucket('b').keys(`${made.walPrefix(2)}000000020000000000000007`)[0]!)
    const latest = await plan('latest')
    expect(latest.timeline).toBe(1)
    expect(latest.notes.join()).toContain('timeline 2 cannot be entered: WAL is missing from 0/700000')
  })

  test('passes over a newer backup of a timeline that was left before it ended', async () => {
    made.backup({ startedAt: day('15:00:00'), stoppedAt: day('15:05:00'), start: '0/700028', stop: '0/700090' })
    const latest = await plan('latest')
    expect(started(latest)).toBe(day('12:00:00'))
    expect(latest.notes.join()).toMatch(/newer backups are not on the way to timeline 2: 20261122T150000Z/)
    expect(started(await plan('latest', { timeline: 1 }))).toBe(day('15:00:00'))
  })

  test("does without the history of a backup's own timeline", async () => {
    const late = { startedAt: day('15:00:00'), stoppedAt: day('15:05:00'), start: '0/800028', stop: '0/800100' }
    const { backup_id } = made.backup({ ...late, timeline: 2 })
    const isHistory = (key: string) => key.startsWith(made.server) && key.includes('.history')
    s3.bucket('b').corrupt(s3.bucket('b').keys().find(isHistory)!)
    const own = await plan('latest', { timeline: 'current', backupId: backup_id })
    expect([started(own), own.timeline, own.choice]).toEqual([day('15:00:00'), 2, null])
  })

  test('does not enter a timeline without its history, and says so', async () => {
    s3.bucket('b').remove(
      s3
        .bucket('b')
        .keys()
        .find((key) => key.startsWith(made.server) && key.includes('.history'))!,
    )
    const latest = await plan('latest')
    expect(latest.timeline).toBe(1)
    expect(latest.notes.join()).toContain('timeline 2 has WAL, but its history is not stored')
  })
})

describe('the plan of a restore of a server with two lives', () => {
  test('takes the life with the newest backup, unless told otherwise', async () => {
    const older = made
    made = new SyntheticArchive(s3.bucket('b'), older.server, '5000000000000000001')
    made.backup({ startedAt: day('16:00:00'), stoppedAt: day('16:05:00'), start: '0/100028', stop: '0/100100' })
    made.segment(1, '0/100000')
    const latest = await plan('latest')
    expect(started(latest)).toBe(day('16:00:00'))
    expect(latest.notes.join()).toContain(older.home.systemIdentifier)
    const other = await plan('latest', { systemIdentifier: older.home.systemIdentifier })
    expect(started(other)).toBe(day('12:00:00'))
  })

  test('takes for a time the life that had stored a backup before it, whatever another says of itself', async () => {
    const older = made
    made = new SyntheticArchive(s3.bucket('b'), older.server, '5000000000000000001')
    const late = { storedAt: new Date(day('20:00:00')) }
    made.backup({ startedAt: day('12:10:00'), stoppedAt: day('12:15:00'), start: '0/100028', stop: '0/100100' }, late)
    made.backup({ startedAt: day('19:00:00'), stoppedAt: day('19:55:00'), start: '0/200028', stop: '0/200100' }, late)
    made.segment(1, '0/100000')
    made.segment(1, '0/200000')
    const honest = await plan(`time=${day('12:45:00')}`)
    expect(started(honest)).toBe(day('12:00:00'))
    expect(honest.home.systemIdentifier).toBe(older.home.systemIdentifier)
    expect(started(await plan('latest'))).toBe(day('19:00:00'))
  })
})
