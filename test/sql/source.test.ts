import { describe, expect, test } from 'vitest'
import { postgresVersions } from '../sandbox/postgres.js'
import { installedServer } from './installed-server.js'
import { MIB, record } from './wal-rows.js'

describe.each(postgresVersions)('WAL that is read from a standby, on Postgres %i', (version) => {
  const catalog = installedServer(version)
  const report = (standby: string | null) => catalog.rows('select backup._report_source($1)', [standby], 'walt')
  const position = async () =>
    (await catalog.rows<Record<string, unknown>>('select p.* from backup._wal_position() p', [], 'mona'))[0]!

  test('its address is kept, and written only when it changes', async () => {
    await catalog.rows(`select backup._start_worker('1.0')`, [], 'walt')
    const version_of = () => catalog.value('select xmin::text from backup._worker')
    await report('b:5432')
    const first = await version_of()
    await report('b:5432')
    expect(await version_of()).toBe(first)
    expect(await position()).toMatchObject({ standby: 'b:5432', streaming: false })
    await report(null)
    expect(await position()).toMatchObject({ standby: null })
    for (const wrong of ['', 'b\n', 'b'.repeat(301)]) {
      expect(await catalog.error('select backup._report_source($1)', [wrong], 'walt')).toMatchObject({ code: 'PB001' })
    }
  })

  test('how far it is stored is believed of the worker alone, and only on the timeline that is written', async () => {
    await report('b:5432')
    const show = (user: string, name: string) => catalog.rows(`set application_name = '${name}'`, [], user)
    const lock = 'select pg_try_advisory_lock(backup._worker_lock_key())'
    await show('walt', 'postbox worker 1 0/42 1700000000.5 reads')
    expect(await position()).toMatchObject({ streaming: false, durable_lsn: null })
    await catalog.rows(lock, [], 'walt')
    expect(await position()).toMatchObject({
      streaming: true,
      durable_lsn: '0/42',
      waits_since: new Date(1_700_000_000_500),
    })
    await show('walt', 'postbox worker 2 0/42 1700000000.5 reads')
    expect(await position()).toMatchObject({ streaming: false, durable_lsn: null })
    await show('walt', 'postbox worker 1 0/42 1700000000.5 waits')
    expect(await position()).toMatchObject({
      streaming: false,
      durable_lsn: '0/42',
      waits_since: new Date(1_700_000_000_500),
    })
    // Whoever holds the lock without being a worker.
    await catalog.rows('select pg_advisory_unlock_all()', [], 'walt')
    await show('mona', 'postbox worker 1 0/42 1700000000.5 reads')
    await catalog.rows(lock, [], 'mona')
    expect(await position()).toMatchObject({ streaming: false, durable_lsn: null })
    await catalog.rows('select pg_advisory_unlock_all()', [], 'mona')
    await show('walt', 'postbox worker')
    await report(null)
  })

  test('a segment is finished once, and left alone when the WAL has gone on', async () => {
    await catalog.rows('create table t ()')
    const lsn = await catalog.value<string>('select pg_current_wal_lsn()::text')
    const name = () => catalog.value<string>('select pg_walfile_name(pg_current_wal_lsn() + 1::numeric)')
    const before = await name()
    expect(await catalog.value('select backup._finish_segment($1)', [lsn], 'walt')).toBe(true)
    const after = await name()
    expect(after).not.toBe(before)
    expect(await catalog.value('select backup._finish_segment($1)', [lsn], 'walt')).toBe(true)
    expect(await catalog.value(`select backup._finish_segment('0/1000000')`, [], 'walt')).toBe(true)
    expect(await name()).toBe(after)
    expect(await catalog.error('select backup._finish_segment(null)', [], 'walt')).toMatchObject({ code: 'PB001' })
  })

  test('WAL was written by the time at which the segment that holds its end was stored', async () => {
    await record(
      catalog,
      7,
      [3, 4].map((number) => ({ number, segmentBytes: 16 * MIB })),
    )
    await catalog.rows(`update backup._wal_segment set stored_at = '2026-01-01Z'::timestamptz + (start_lsn - '0/0')::bigint
      / 16777216 * interval '1 day' where system_identifier = 7`)
    const writtenBy = (lsn: string) =>
      catalog.value<Date | null>('select backup._written_by(7, 1, $1)', [lsn], 'walt').then((at) => at?.toISOString())
    expect(await writtenBy('0/3000028')).toBe('2026-01-04T00:00:00.000Z')
    expect(await writtenBy('0/4000000')).toBe('2026-01-04T00:00:00.000Z')
    expect(await writtenBy('0/4000001')).toBe('2026-01-05T00:00:00.000Z')
    expect(await writtenBy('0/5000001')).toBeUndefined()
  })
})
