import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { postgresVersions } from '../sandbox/postgres.js'
import { until } from '../sandbox/until.js'
import { installedServer } from './installed-server.js'
import { lsnOf, MIB, moment, record, segment, type SegmentChoice } from './wal-rows.js'

interface Run {
  timeline: number
  from: number
  to: number
  commit: number | null
}

/** The simple model: sort, and join what follows on. */
function runsOf(segments: readonly SegmentChoice[]): Run[] {
  const byPlace = new Map(segments.map((one) => [`${one.timeline ?? 1}/${one.number}`, one]))
  const sorted = [...byPlace.values()].sort((a, b) => a.timeline! - b.timeline! || a.number - b.number)
  const runs: Run[] = []
  for (const { timeline = 1, number, commit = null } of sorted) {
    const last = runs.at(-1)
    if (last?.timeline === timeline && last.to === number) {
      last.to = number + 1
      if (commit !== null) last.commit = Math.max(commit, last.commit ?? commit)
    } else runs.push({ timeline, from: number, to: number + 1, commit })
  }
  return runs
}

const gapsOf = (runs: readonly Run[]) =>
  runs.flatMap((run, index) => {
    const next = runs[index + 1]
    return next?.timeline === run.timeline ? [{ timeline: run.timeline, from: run.to, to: next.from }] : []
  })

/** Batches of distinct segments in any order, some given again later. */
const history = fc
  .uniqueArray(
    fc.record({
      timeline: fc.integer({ min: 1, max: 2 }),
      number: fc.integer({ min: 1, max: 24 }),
      commit: fc.option(fc.integer({ min: 0, max: 999 })),
    }),
    { selector: ({ timeline, number }) => `${timeline}/${number}`, maxLength: 40 },
  )
  .chain((segments) => fc.tuple(fc.constant(segments), fc.shuffledSubarray(segments), fc.integer({ min: 1, max: 7 })))

describe.each(postgresVersions)('WAL segments on Postgres %i', (version) => {
  const catalog = installedServer(version)
  const coverage = 'select * from backup.wal_coverage where system_identifier = $1 order by timeline, from_lsn'
  const gaps =
    'select system_identifier, timeline, from_lsn, to_lsn, bytes from backup.wal_gaps where system_identifier = $1 order by timeline, from_lsn'

  test('ranges and gaps of any segments in any order are those of a simple model', { timeout: 60_000 }, async () => {
    let system = 1000
    await fc.assert(
      fc.asyncProperty(history, async ([segments, again, batch]) => {
        system++
        const given = [...segments, ...again]
        for (let at = 0; at < given.length; at += batch) await record(catalog, system, given.slice(at, at + batch))
        const runs = runsOf(segments)
        expect(await catalog.rows(coverage, [system])).toEqual(
          runs.map(({ timeline, from, to, commit }) => ({
            system_identifier: String(system),
            timeline,
            from_lsn: lsnOf(from),
            to_lsn: lsnOf(to),
            bytes: String((to - from) * MIB),
            last_commit_at: commit === null ? null : new Date(moment(commit)),
          })),
        )
        expect(await catalog.rows(gaps, [system])).toEqual(
          gapsOf(runs).map(({ timeline, from, to }) => ({
            system_identifier: String(system),
            timeline,
            from_lsn: lsnOf(from),
            to_lsn: lsnOf(to),
            bytes: String((to - from) * MIB),
          })),
        )
      }),
      { numRuns: 25 },
    )
  })

  test('a segment recorded again is nothing new: no row, no WAL, no transaction', async () => {
    expect(await record(catalog, 1, [{ number: 1 }, { number: 2 }])).toMatch(/^\d+$/)
    // The server writes a little WAL of its own now and then.
    await until('recording it again writes no WAL', async () => {
      const before = await catalog.value('select pg_current_wal_insert_lsn()::text')
      expect(await record(catalog, 1, [{ number: 2 }, { number: 1 }])).toBeNull()
      expect(await record(catalog, 1, [])).toBeNull()
      return (await catalog.value('select pg_current_wal_insert_lsn()::text')) === before
    })
  })

  test('the transaction id is that of the rows, as WAL carries it', async () => {
    const xid = await record(catalog, 2, [{ number: 5 }])
    expect(await catalog.value('select xmin::text from backup._wal_segment where system_identifier = 2')).toBe(xid)
    expect(await catalog.value('select xmin::text from backup._wal_range where system_identifier = 2')).toBe(xid)
  })

  test('another content under a known name is refused loudly, by name, and nothing of the batch is kept', async () => {
    await record(catalog, 3, [{ number: 1 }, { number: 2 }])
    const batch = [segment({ number: 3 }), segment({ number: 2, content: 'other' })]
    const error = await catalog.error('select backup._record_segments(3, $1)', [JSON.stringify(batch)], 'walt')
    expect(error.code).toBe('PB021')
    expect(error.message).toContain('WAL segment 000000010000000000000002 was stored before with other content')
    expect(error.hint).toMatch(/split brain/)
    expect(await catalog.rows(coverage, [3])).toMatchObject([{ to_lsn: lsnOf(3) }])
  })

  test('two contents for one name within a batch are refused as well', async () => {
    const batch = [segment({ number: 7 }), segment({ number: 7, content: 'other' })]
    const error = await catalog.error('select backup._record_segments(4, $1)', [JSON.stringify(batch)], 'walt')
    expect(error.code).toBe('PB021')
  })

  test.each([
    ['no array', '{}'],
    ['an element that is no object', '[1]'],
    ['no timeline', JSON.stringify([{ ...segment({ number: 1 }), timeline: 0 }])],
    ['an LSN inside a segment', JSON.stringify([{ ...segment({ number: 1 }), start_lsn: '0/100001' }])],
    ['an LSN that is none', JSON.stringify([{ ...segment({ number: 1 }), start_lsn: 'zero' }])],
    [
      'a segment size that is no power of two',
      JSON.stringify([{ ...segment({ number: 1 }), segment_bytes: 3_000_000 }]),
    ],
    ['half a hash', JSON.stringify([{ ...segment({ number: 1 }), sha256: 'abcd' }])],
    ['no key', JSON.stringify([{ ...segment({ number: 1 }), key: '' }])],
    ['no bytes', JSON.stringify([{ ...segment({ number: 1 }), bytes: 0 }])],
    ['a moment without its zone', JSON.stringify([{ ...segment({ number: 1 }), last_commit_at: '2026-01-01 00:00' }])],
  ])('%s is refused, and the one bad row names itself', async (_, text) => {
    const error = await catalog.error('select backup._record_segments(5, $1)', [text], 'walt')
    expect(error.code).toBe('PB001')
    const [only] = JSON.parse(text) instanceof Array ? (JSON.parse(text) as { key?: string }[]) : []
    if (only?.key) expect(error.message).toContain(only.key)
    expect(await catalog.error('select backup._record_segments(5, null)')).toMatchObject({ code: 'PB001' })
  })

  test.each([1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024])(
    'segments of %i MiB are named as in pg_wal',
    async (size) => {
      const segmentBytes = size * MIB
      for (const number of [1, Math.floor(2 ** 32 / segmentBytes) + 1]) {
        const name = segment({ number, timeline: 0x1a, segmentBytes })['key'] as string
        const start = lsnOf(number, segmentBytes)
        const got = await catalog.value<string>(
          'select backup._segment_name(26, $1, $2)',
          [start, segmentBytes],
          'mona',
        )
        expect(name).toContain(`/${got}-`)
      }
      expect(await record(catalog, 100 + size, [{ number: 3, segmentBytes }])).not.toBeNull()
    },
  )

  test('coverage is asked by timeline, and an unbroken range covers its ends', async () => {
    await record(catalog, 6, [{ number: 1 }, { number: 2 }, { number: 4 }, { number: 3, timeline: 2 }])
    const covers = (timeline: number, from: number, to: number) =>
      catalog.value('select backup._covers_wal(6, $1, $2, $3)', [timeline, lsnOf(from), lsnOf(to)], 'walt')
    expect(await covers(1, 1, 3)).toBe(true)
    expect(await covers(1, 2, 2)).toBe(true)
    expect(await covers(1, 1, 4)).toBe(false)
    expect(await covers(1, 3, 4)).toBe(false)
    expect(await covers(2, 1, 3)).toBe(false)
    expect(await covers(1, 3, 1)).toBe(false)
    expect(await catalog.value('select backup._covers_wal(7, 1, $1, $1)', [lsnOf(1)], 'walt')).toBe(false)
  })

  test('two sessions that record neighbours at once leave one range', async () => {
    const server = await catalog.server()
    const sessions = await Promise.all(Array.from({ length: 4 }, () => server.connect({ user: 'walt' })))
    const numbers = Array.from({ length: 40 }, (_, index) => index + 1)
    await Promise.all(
      sessions.map(async (session, lane) => {
        for (const number of numbers.filter((one) => one % 4 === lane)) {
          await session.query('select backup._record_segments(8, $1)', [JSON.stringify([segment({ number })])])
        }
        await session.end()
      }),
    )
    expect(await catalog.rows(coverage, [8])).toMatchObject([{ from_lsn: lsnOf(1), to_lsn: lsnOf(41) }])
  })
})
