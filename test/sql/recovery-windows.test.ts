import { describe, expect, test } from 'vitest'
import { postgresVersions } from '../sandbox/postgres.js'
import { installedServer } from './installed-server.js'
import { base, finish, lsnOf, MIB, moment, record, type SegmentChoice } from './wal-rows.js'

/** Segments from–to (without the last), each with a commit at its number in seconds. */
const run = (from: number, to: number, timeline = 1): SegmentChoice[] =>
  Array.from({ length: to - from }, (_, index) => ({ number: from + index, timeline, commit: from + index }))

describe.each(postgresVersions)('recovery windows on Postgres %i', (version) => {
  const catalog = installedServer(version)
  const windows = (backupId: string) =>
    catalog.rows('select * from backup.recovery_windows where backup_id = $1 order by timeline', [backupId], 'mona')
  const gaps = (system: number) =>
    catalog.rows(
      'select timeline, from_lsn, to_lsn, bytes from backup.wal_gaps where system_identifier = $1 order by 1, 2',
      [system],
    )
  const timeline = (system: number, id: number, history: string) =>
    catalog.rows('select backup._record_timeline($1, $2, $3, $4)', [system, id, history, `h${system}/${id}`], 'walt')
  const canRestore = (seconds: number) => catalog.value('select backup.can_restore_to($1)', [moment(seconds)], 'mona')

  test('a window reaches from the end of the backup to the last commit before a gap', async () => {
    await record(catalog, 1, [...run(10, 20), ...run(22, 25)])
    await finish(catalog, 1, 'a', { from: 11, to: 13, stopped: 12 })
    expect(await windows('a')).toEqual([
      {
        backup_id: 'a',
        timeline: 1,
        from_lsn: lsnOf(13),
        to_lsn: lsnOf(20),
        from_at: new Date(moment(12)),
        to_at: new Date(moment(19)),
      },
    ])
    expect(await gaps(1)).toEqual([{ timeline: 1, from_lsn: lsnOf(20), to_lsn: lsnOf(22), bytes: String(2 * MIB) }])
    for (const seconds of [12, 15, 19]) expect(await canRestore(seconds)).toBe(true)
    for (const seconds of [11, 20, 24]) expect(await canRestore(seconds)).toBe(false)

    await record(catalog, 1, run(20, 22))
    expect(await windows('a')).toMatchObject([{ to_lsn: lsnOf(25), to_at: new Date(moment(24)) }])
    expect(await gaps(1)).toEqual([])
  })

  test('a backup after which nothing was committed has no latest time', async () => {
    await record(catalog, 2, run(10, 12))
    await finish(catalog, 2, 'quiet', { from: 10, to: 12, stopped: 5000 })
    expect(await windows('quiet')).toMatchObject([{ to_lsn: lsnOf(12), to_at: null }])
    expect(await canRestore(5000)).toBe(false)
  })

  test('WAL before the oldest backup is of no use, so a gap there is none', async () => {
    await record(catalog, 3, [...run(1, 3), ...run(5, 9)])
    expect(await gaps(3)).toHaveLength(1)
    await finish(catalog, 3, 'after-gap', { from: 6, to: 7, stopped: 100_000 })
    expect(await gaps(3)).toEqual([])
  })

  test('windows follow a switch of timelines, and the abandoned branch keeps its own', async () => {
    await record(catalog, 4, run(10, 21))
    await finish(catalog, 4, 'old', { from: 11, to: 13, stopped: 200_012 })
    // Left in the middle of segment 18; the new timeline's file of it begins with what the old one wrote.
    const switchLsn = `0/${(18 * MIB + 4096).toString(16).toUpperCase()}`
    await record(catalog, 4, [
      { number: 18, timeline: 2, commit: null },
      { number: 19, timeline: 2, commit: 200_500 },
    ])
    expect(await windows('old')).toMatchObject([{ timeline: 1 }])
    await timeline(4, 2, `1\t${switchLsn}\tno recovery target specified\n`)
    expect(await windows('old')).toMatchObject([
      { timeline: 1, to_lsn: lsnOf(21) },
      { timeline: 2, from_lsn: lsnOf(13), to_lsn: lsnOf(20), to_at: new Date(moment(200_500)) },
    ])

    // A third one, through its parent; its history lists both.
    await record(catalog, 4, [{ number: 19, timeline: 3 }])
    await timeline(4, 3, `# promoted again\n1\t${switchLsn}\tone\n\n2\t${lsnOf(19)}\ttwo\n`)
    expect(await windows('old')).toMatchObject([
      { timeline: 1 },
      { timeline: 2 },
      { timeline: 3, to_lsn: lsnOf(20), to_at: null },
    ])
    expect(await gaps(4)).toEqual([])
  })

  test('timelines that were left in the segment in which they began are passed through', async () => {
    await record(catalog, 11, run(10, 15))
    await finish(catalog, 11, 'passed', { from: 11, to: 13, stopped: 12 })
    const at = (bytes: number) => `0/${(15 * MIB + bytes).toString(16).toUpperCase()}`
    const left: string[] = []
    for (const id of [2, 3, 4]) {
      left.push(`${id - 1}\t${at(id * 1000)}\tx\n`)
      await timeline(11, id, left.join('\n'))
    }
    await record(catalog, 11, [{ number: 15, timeline: 4, commit: 40 }])
    expect(await windows('passed')).toMatchObject([
      { timeline: 1, to_lsn: lsnOf(15), to_at: new Date(moment(14)) },
      { timeline: 4, to_lsn: lsnOf(16), to_at: new Date(moment(40)) },
    ])
    expect(await gaps(11)).toEqual([])
    // One that went on elsewhere as well has a window of its own.
    await record(catalog, 11, run(15, 17, 2))
    expect((await windows('passed')).map((row) => (row as { timeline: number }).timeline)).toEqual([1, 2, 4])
  })

  test('a child without commits of its own reaches to the last commit of its parent before the switch', async () => {
    await record(catalog, 5, run(300, 320))
    await finish(catalog, 5, 'silent-child', { from: 301, to: 303, stopped: 305 })
    await record(catalog, 5, [{ number: 310, timeline: 2 }])
    await timeline(5, 2, `1\t${lsnOf(310)}\tx\n`)
    expect(await windows('silent-child')).toMatchObject([
      { timeline: 1, to_at: new Date(moment(319)) },
      { timeline: 2, to_at: new Date(moment(309)) },
    ])
  })

  test('a timeline that left before the backup ended is out of its reach', async () => {
    await record(catalog, 6, [...run(10, 20), ...run(12, 20, 2)])
    await finish(catalog, 6, 'too-late', { from: 11, to: 14, stopped: 13 })
    await timeline(6, 2, `1\t${lsnOf(12)}\tx\n`)
    expect(await windows('too-late')).toMatchObject([{ timeline: 1 }])
  })

  test('a gap at the switch closes the way, and shows on the timeline that lacks the WAL', async () => {
    await record(catalog, 7, run(10, 15))
    await finish(catalog, 7, 'cut', { from: 10, to: 12, stopped: 11 })
    await record(catalog, 7, run(18, 20, 2))
    await timeline(7, 2, `1\t${lsnOf(17)}\tx\n`)
    expect(await windows('cut')).toMatchObject([{ timeline: 1 }])
    expect(await gaps(7)).toEqual([
      { timeline: 1, from_lsn: lsnOf(15), to_lsn: lsnOf(17), bytes: String(2 * MIB) },
      { timeline: 2, from_lsn: lsnOf(17), to_lsn: lsnOf(18), bytes: String(MIB) },
    ])
    await record(catalog, 7, [...run(15, 17), { number: 17, timeline: 2 }])
    expect(await gaps(7)).toEqual([])
    expect(await windows('cut')).toMatchObject([{ timeline: 1 }, { timeline: 2, to_lsn: lsnOf(20) }])
  })

  test('a child that begins behind the end of its parent is not reached, though it has the switch', async () => {
    await record(catalog, 10, run(10, 15))
    await finish(catalog, 10, 'short', { from: 10, to: 12, stopped: 11 })
    await record(catalog, 10, run(16, 20, 2))
    await timeline(10, 2, `1\t${lsnOf(17)}\tx\n`)
    expect(await windows('short')).toMatchObject([{ timeline: 1 }])
    expect(await gaps(10)).toEqual([{ timeline: 1, from_lsn: lsnOf(15), to_lsn: lsnOf(16), bytes: String(MIB) }])
    await record(catalog, 10, run(15, 16))
    expect(await windows('short')).toMatchObject([
      { timeline: 1, to_lsn: lsnOf(16) },
      { timeline: 2, to_lsn: lsnOf(20) },
    ])
  })

  test('a history is refused when it is none, or another one than before', async () => {
    await timeline(8, 2, `1\t${lsnOf(5)}\tx\n`)
    await timeline(8, 2, `1\t${lsnOf(5)}\tx\n`)
    const tell = (id: number | null, history: string | null, key: string | null = 'k') =>
      catalog.error('select backup._record_timeline(8, $1, $2, $3)', [id, history, key])
    expect(await tell(2, `1\t${lsnOf(6)}\tx\n`)).toMatchObject({
      code: 'PB021',
      hint: expect.stringContaining('split brain') as string,
    })
    for (const [id, history] of [
      [3, ''],
      [3, 'garbage'],
      [3, '# only a comment'],
      [3, `3\t${lsnOf(5)}\tx`],
      [3, null],
      [null, `1\t${lsnOf(5)}\tx`],
    ] as const) {
      expect(await tell(id, history)).toMatchObject({ code: 'PB001' })
    }
    expect(await tell(3, `1\t${lsnOf(5)}\tx`, '')).toMatchObject({ code: 'PB001' })
  })

  test('a backup whose WAL is not stored whole is no backup', async () => {
    await record(catalog, 9, [...run(1, 3), ...run(4, 9)])
    const jobId = await catalog.value<string>('select backup.start_base()')
    await catalog.rows('select from backup._claim_job()')
    const finishing = 'select backup._finish_base($1, $2)'
    const error = await catalog.error(finishing, [jobId, base(9, 'holed', { from: 2, to: 5 })])
    expect(error).toMatchObject({ code: 'PB020', hint: expect.stringContaining('backup.wal_gaps') as string })
    expect(error.message).toContain('needs WAL from 0/200000 to 0/500000 of timeline 1')
    expect(await windows('holed')).toEqual([])
    await record(catalog, 9, run(3, 4))
    await catalog.rows(finishing, [jobId, base(9, 'holed', { from: 2, to: 5 })])
    expect(await windows('holed')).toHaveLength(1)
  })

  test('can_restore_to wants a time', async () => {
    expect(await catalog.error('select backup.can_restore_to(null)')).toMatchObject({ code: 'PB001' })
  })
})
