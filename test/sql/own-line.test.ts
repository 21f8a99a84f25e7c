import { describe, expect, test } from 'vitest'
import { promote } from '../faults/promote.js'
import { postgresVersions } from '../sandbox/postgres.js'
import { installedServer } from './installed-server.js'
import { finish, lsnOf, record } from './wal-rows.js'

// As after a restore to a point in time and "postbox rebuild-catalog": what the life before stored later is here, too.
describe.each(postgresVersions)('a server that has left a timeline, on Postgres %i', (version) => {
  const catalog = installedServer(version)
  const check = async (name: string) =>
    (await catalog.rows('select state, message from backup.checks where name = $1', [name], 'mona'))[0]!
  const queued = () => catalog.value<string>(`select count(*) from backup.jobs where state = 'queued'`)
  const lastBase = () => catalog.value('select last_base_id from backup.status', [], 'mona')

  test('has nothing of what was stored of that one later: no base backup, and no gap', async () => {
    await promote(await catalog.server())
    await catalog.reconnect()
    const system = await catalog.systemIdentifier()
    const recordGap = (timeline: number, to: number) =>
      catalog.rows('select backup._record_gap($1, $2, $3, $4, false)', [system, timeline, lsnOf(to), 'lost'], 'walt')
    const run = (from: number, to: number, timeline: number) =>
      record(
        catalog,
        system,
        Array.from({ length: to - from }, (_, index) => ({ number: from + index, timeline })),
      )
    await run(1, 20, 1)
    await catalog.rows('select backup._record_timeline($1, 2, $2, $3)', [system, `1\t${lsnOf(5)}\tx\n`, 'h'])
    await finish(catalog, system, 'left', { from: 15, to: 16 })
    await catalog.rows('update backup._base_backup set stopped_at = now()')
    expect(await check('base_age')).toEqual({ state: 'crit', message: 'there is no base backup' })
    expect(await lastBase()).toBeNull()

    await finish(catalog, system, 'kept', { from: 2, to: 3 })
    await catalog.rows('update backup._base_backup set stopped_at = now() - $1::interval', ['1 hour'])
    expect(await check('base_age')).toMatchObject({ state: 'ok' })
    expect(await lastBase()).toBe('kept')

    await run(5, 8, 2)
    expect(await check('wal_gap')).toEqual({ state: 'ok', message: 'the stored WAL has no gap' })
    await recordGap(2, 10)
    expect(await check('wal_gap')).toMatchObject({ state: 'crit' })
    expect(await queued()).toBe('1')
    await catalog.rows(`delete from backup._job where state = 'queued'`)
    await run(10, 13, 2)
    await finish(catalog, system, 'new', { timeline: 2, from: 10, to: 11 })
    expect(await check('wal_gap')).toEqual({
      state: 'ok',
      message: 'WAL is missing in 1 places before the newest base backup',
    })

    // A gap of the life before is a row, and none of this server's.
    await recordGap(1, 25)
    expect(await catalog.value('select count(*) from backup.wal_gaps where timeline = 1')).toBe('1')
    expect(await check('wal_gap')).toMatchObject({ state: 'ok' })
    expect(await queued()).toBe('0')
  }, 60_000)
})
