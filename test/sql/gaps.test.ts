import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Client } from 'pg'
import { postgresVersions } from '../sandbox/postgres.js'
import { installedServer } from './installed-server.js'
import { finish, lsnOf, MIB, record, type SegmentChoice } from './wal-rows.js'

interface Gap {
  timeline: number
  from_lsn: string
  to_lsn: string
  bytes: string
  reason: string | null
  found_at: Date | null
}

const REASON = 'the replication slot postbox was lost'

const run = (from: number, to: number, timeline = 1): SegmentChoice[] =>
  Array.from({ length: to - from }, (_, index) => ({ number: from + index, timeline }))

describe.each(postgresVersions)('gaps on Postgres %i', (version) => {
  const catalog = installedServer(version)
  let listener: Client
  let heard: (string | undefined)[]
  let system: string

  beforeEach(async () => {
    system = await catalog.systemIdentifier()
    await catalog.rows(
      'truncate backup._job, backup._wal_segment, backup._wal_range, backup._wal_gap, backup._timeline cascade',
    )
    await catalog.rows(`select backup.configure('base_after_gap', null)`)
    listener = await (await catalog.server()).connect({ user: 'mona' })
    heard = []
    listener.on('notification', ({ payload }) => heard.push(payload))
    await listener.query('listen postbox')
  })
  afterEach(() => listener.end())

  const gaps = () =>
    catalog.rows<Gap>(
      `select timeline, from_lsn, to_lsn, bytes, reason, found_at from backup.wal_gaps
       where system_identifier = $1 order by 1, 2`,
      [system],
      'mona',
    )
  const found = (from: number, to: number, reason: string | null = REASON, timeline = 1) => ({
    timeline,
    from_lsn: lsnOf(from),
    to_lsn: lsnOf(to),
    bytes: String((to - from) * MIB),
    reason,
    found_at: reason === null ? null : (expect.any(Date) as Date),
  })
  const recordGap = (to: number, { timeline = 1, reason = REASON, runningBeginsAfter = false } = {}) =>
    catalog.value<string | null>(
      'select backup._record_gap($1, $2, $3, $4, $5)',
      [system, timeline, lsnOf(to), reason, runningBeginsAfter],
      'walt',
    )
  const jobs = () => catalog.rows('select kind, state, label from backup.jobs order by job_id')
  const check = async () =>
    (await catalog.rows(`select state, message, hint from backup.checks where name = 'wal_gap'`, [], 'mona'))[0]!
  /** What was heard up to now: notifications come in order. */
  const notified = async () => {
    await catalog.rows(`notify postbox, 'end'`)
    while (!heard.includes('end')) await listener.query('select 1')
    return heard.splice(0).filter((payload) => payload !== 'end')
  }

  test('a gap that the worker found is a row before anything is stored behind it', async () => {
    await record(catalog, system, run(1, 5))
    await finish(catalog, system, `found-${version}`, { from: 1, to: 3 })
    await notified()
    expect(await recordGap(9)).toBe(lsnOf(5))
    expect(await gaps()).toEqual([found(5, 9)])
    expect(await notified()).toEqual(['gap', 'job'])
    expect(await jobs()).toMatchObject([
      { state: 'done' },
      { kind: 'base', state: 'queued', label: `after a gap in the WAL: ${REASON}` },
    ])
    expect(await check()).toEqual({
      state: 'crit',
      message: `WAL is missing after the newest base backup, up to ${lsnOf(9)}: ${REASON}`,
      hint: expect.stringMatching(/^Wait for the base backup of job \d+/) as string,
    })
  })

  test('the ranges show the same gap later, and it stays one row', async () => {
    await record(catalog, system, run(1, 5))
    await recordGap(9)
    await record(catalog, system, run(9, 12))
    expect(await gaps()).toEqual([found(5, 9)])
  })

  test('a gap that is recorded twice is one, and calls for one base backup', async () => {
    await record(catalog, system, run(1, 5))
    await finish(catalog, system, `twice-${version}`, { from: 1, to: 3 })
    await recordGap(9)
    await catalog.rows(`update backup._job set state = 'canceled', ended_at = now(), error = backup._canceled_error(1)
      where state = 'queued'`)
    await notified()
    await catalog.rows('begin')
    await catalog.rows('select backup._record_gap($1, 1, $2, $3, false)', [system, lsnOf(9), REASON])
    expect(await catalog.value('select pg_current_xact_id_if_assigned()')).toBeNull()
    await catalog.rows('commit')
    expect(await recordGap(8)).toBeNull()
    expect(await notified()).toEqual([])
    expect(await jobs()).toHaveLength(2)
    // The slot was lost once more before anything was stored.
    expect(await recordGap(20, { reason: 'lost again' })).toBe(lsnOf(5))
    expect(await gaps()).toEqual([found(5, 20, 'lost again')])
    expect(await notified()).toEqual(['gap', 'job'])
  })

  test('what is stored of a gap is none any more', async () => {
    await record(catalog, system, run(1, 5))
    await recordGap(9)
    await record(catalog, system, run(6, 7))
    expect(await gaps()).toEqual([found(5, 6), found(7, 9)])
    await record(catalog, system, [...run(5, 6), ...run(7, 9)])
    expect(await gaps()).toEqual([])
    expect(await check()).toMatchObject({ state: 'ok', message: 'the stored WAL has no gap' })
  })

  test('a segment that was never stored is a gap of which nobody knows the reason', async () => {
    await record(catalog, system, run(1, 5))
    await finish(catalog, system, `never-${version}`, { from: 1, to: 3 })
    await record(catalog, system, run(6, 9))
    expect(await gaps()).toEqual([found(5, 6, null)])
    expect(await check()).toMatchObject({ state: 'crit', hint: expect.stringContaining('start_base') as string })
    await finish(catalog, system, `after-${version}`, { from: 6, to: 7 })
    expect(await check()).toMatchObject({ state: 'ok' })
    expect(await gaps()).toHaveLength(1)
  })

  test('WAL that goes on where it ended, or was never stored before, is no gap', async () => {
    expect(await recordGap(5)).toBeNull()
    await record(catalog, system, run(1, 5))
    expect(await recordGap(5)).toBeNull()
    expect(await recordGap(3)).toBeNull()
    expect(await gaps()).toEqual([])
    await notified()
    expect(await jobs()).toEqual([])
  })

  test('no base backup is queued when one is on its way, when it is switched off, or when there never was one', async () => {
    await record(catalog, system, run(1, 5))
    await recordGap(9)
    expect(await jobs()).toEqual([])

    await finish(catalog, system, `first-${version}`, { from: 1, to: 3 })
    await catalog.rows(`select backup.configure('base_after_gap', 'off')`)
    await recordGap(10)
    expect(await jobs()).toHaveLength(1)
    expect(await check()).toMatchObject({ state: 'crit', hint: expect.stringContaining('start_base') as string })

    await catalog.rows(`select backup.configure('base_after_gap', 'on'), backup.start_base('mine')`)
    await recordGap(11)
    expect(await jobs()).toMatchObject([{ state: 'done' }, { label: 'mine', state: 'queued' }])
    await catalog.rows('select from backup._claim_job()')
    await recordGap(12, { runningBeginsAfter: true })
    expect(await jobs()).toHaveLength(2)
    // This one began to read before the gap, and so cannot be whole.
    await recordGap(13, { runningBeginsAfter: false })
    expect(await jobs()).toHaveLength(3)
  })

  test('a base backup after a gap that failed is queued again where nobody has seen to it since', async () => {
    const resume = () => catalog.rows('select backup._resume_base_after_gap($1)', [system])
    await record(catalog, system, run(1, 5))
    await finish(catalog, system, `again-${version}`, { from: 1, to: 3 })
    await resume()
    expect(await jobs()).toHaveLength(1)
    await recordGap(9)
    await resume()
    expect(await jobs()).toMatchObject([{ state: 'done' }, { state: 'queued' }])
    await catalog.rows('select from backup._claim_job()')
    await resume()
    expect(await jobs()).toHaveLength(2)
    await catalog.rows(
      `select backup._fail_job(max(job_id), '{"code": "box_refused", "message": "x", "hint": "y"}', false) from backup._job`,
    )
    await resume()
    expect(await jobs()).toMatchObject([
      { state: 'done' },
      { state: 'failed' },
      { state: 'queued', label: expect.stringContaining('after a gap') as string },
    ])
    await catalog.rows('select backup.cancel(max(job_id)) from backup._job')
    await resume()
    expect(await jobs()).toHaveLength(3)
  })

  test('a gap over a switch of timelines lies on both', async () => {
    await record(catalog, system, run(1, 5))
    await finish(catalog, system, `switch-${version}`, { from: 1, to: 3 })
    expect(await recordGap(9, { timeline: 2 })).toBeNull()
    await catalog.rows('select backup._record_timeline($1, 2, $2, $3)', [system, `1\t${lsnOf(7)}\tx\n`, `h${system}`])
    expect(await recordGap(9, { timeline: 2 })).toBe(lsnOf(5))
    expect(await gaps()).toEqual([found(5, 7), found(7, 9, REASON, 2)])
    expect(await jobs()).toHaveLength(2)
    await record(catalog, system, run(9, 12, 2))
    expect(await gaps()).toEqual([found(5, 7), found(7, 9, REASON, 2)])
    await record(catalog, system, [...run(5, 7), ...run(7, 9, 2)])
    expect(await gaps()).toEqual([])
  })

  test('what is missing is found within a timeline, and at the end of the one that it left', async () => {
    const holes = () =>
      catalog.rows('select * from backup._wal_holes($1, 2, $2)', [system, lsnOf(30)], 'walt') as Promise<unknown>
    const hole = (timeline: number, from: number, to: number) => ({
      on_timeline: timeline,
      from_lsn: lsnOf(from),
      to_lsn: lsnOf(to),
    })
    await record(catalog, system, [...run(1, 3), ...run(4, 6), ...run(9, 10, 2), ...run(12, 14, 2)])
    await finish(catalog, system, `holes-${version}`, { from: 1, to: 2 })
    expect(await holes()).toEqual([hole(1, 3, 4), hole(2, 10, 12)])
    await catalog.rows('select backup._record_timeline($1, 2, $2, $3)', [system, `1\t${lsnOf(7.5)}\tx\n`, `h${system}`])
    expect(await holes()).toEqual([hole(1, 3, 4), hole(1, 6, 7.5), hole(2, 7.5, 9), hole(2, 10, 12)])
    await record(catalog, system, [...run(3, 4), ...run(7, 9, 2)])
    expect(await holes()).toEqual([hole(1, 6, 7), hole(2, 10, 12)])
    expect(await recordGap(7)).toBe(lsnOf(6))
    expect(await holes()).toEqual([hole(2, 10, 12)])
  })

  test('a gap that is described badly is refused', async () => {
    const tell = (id: number | null, timeline: number, lsn: string | null, reason: string | null) =>
      catalog.error('select backup._record_gap($1, $2, $3, $4, false)', [id, timeline, lsn, reason], 'walt')
    for (const [id, timeline, lsn, reason] of [
      [null, 1, lsnOf(1), 'x'],
      [1, 0, lsnOf(1), 'x'],
      [1, 1, null, 'x'],
      [1, 1, lsnOf(1), ''],
      [1, 1, lsnOf(1), null],
      [1, 1, lsnOf(1), 'two\nlines'],
    ] as const) {
      expect(await tell(id, timeline, lsn, reason)).toMatchObject({ code: 'PB001' })
    }
  })
})
