import { beforeAll, describe, expect, test } from 'vitest'
import { installedServer } from './installed-server.js'
import { finish, lsnOf, record } from './wal-rows.js'

const catalog = installedServer()
const SYSTEM = 1
const kept = (more: object) =>
  catalog.value<string>(
    'select backup._record_kept($1)',
    [JSON.stringify({ postbox_kept: 1, system_identifier: SYSTEM, backups: [], dumps: [], wal: null, ...more })],
    'walt',
  )
const stretch = (from: number, to: number) => ({ timeline: 1, from_lsn: lsnOf(from), to_lsn: lsnOf(to) })
const inDays = (days: number) => new Date(Date.now() + days * 86_400_000).toISOString()
const coverage = () =>
  catalog.rows<{ from_lsn: string; to_lsn: string; last_commit_at: Date }>(
    'select from_lsn, to_lsn, last_commit_at from backup.wal_coverage order by 1',
  )

describe('what the keyholder says of what is stored', () => {
  beforeAll(async () => {
    const commits = [1, 2, 3, 4, 5, 6, 7, 8].map((number) => ({ number, commit: number * 10 }))
    await record(catalog, SYSTEM, commits)
  })

  test('takes nothing away that was recorded later', async () => {
    expect(await kept({ listed_at: inDays(-1), wal: [] })).toBe('0')
    expect(await kept({ listed_at: inDays(0), wal: [] })).toBe('0')
    expect(await coverage()).toMatchObject([{ from_lsn: lsnOf(1), to_lsn: lsnOf(9) }])
  })

  test('leaves WAL alone where it says nothing of it', async () => {
    expect(await kept({ listed_at: inDays(1) })).toBe('0')
  })

  test('cuts what is gone out of the WAL, and no worker finds that as a loss', async () => {
    const listed = { listed_at: inDays(1), wal: [stretch(3, 5), stretch(7, 9)] }
    expect(await kept(listed)).toBe('4')
    expect(await coverage()).toEqual([
      { from_lsn: lsnOf(3), to_lsn: lsnOf(5), last_commit_at: new Date(Date.UTC(2026, 0, 1) + 40_000) },
      { from_lsn: lsnOf(7), to_lsn: lsnOf(9), last_commit_at: new Date(Date.UTC(2026, 0, 1) + 80_000) },
    ])
    const [gap] = await catalog.rows('select from_lsn, to_lsn, reason from backup.wal_gaps')
    expect(gap).toEqual({ from_lsn: lsnOf(5), to_lsn: lsnOf(7), reason: expect.stringContaining('pruned') as string })
    expect(await catalog.rows(`select * from backup._wal_holes(${SYSTEM}, 1, '1/0')`, [], 'walt')).toEqual([])
    expect(await kept(listed)).toBe('0')
  })

  test('cuts what is gone out where a timeline began, and no worker finds that as a loss', async () => {
    const system = 2
    const later = [5, 6, 7, 8].map((number) => ({ number, timeline: 2 }))
    await record(catalog, system, [...[1, 2, 3, 4].map((number) => ({ number })), ...later])
    await finish(catalog, system, 'old', { from: 1, to: 2 })
    await catalog.rows('select backup._record_timeline($1, 2, $2, $3)', [system, `1\t${lsnOf(5.5)}\tx\n`, 'h'])
    const holes = () => catalog.rows(`select * from backup._wal_holes(${system}, 2, '1/0')`, [], 'walt')
    expect(await holes()).toEqual([])
    const wal = [stretch(1, 3), { ...stretch(7, 9), timeline: 2 }]
    const backups = ['old']
    expect(await kept({ system_identifier: system, listed_at: inDays(1), backups, wal })).toBe('4')
    expect(
      await catalog.rows(
        'select timeline, from_lsn, to_lsn from backup.wal_gaps where system_identifier = 2 order by 1',
      ),
    ).toEqual([
      { timeline: 1, from_lsn: lsnOf(3), to_lsn: lsnOf(5.5) },
      { timeline: 2, from_lsn: lsnOf(5.5), to_lsn: lsnOf(7) },
    ])
    expect(await holes()).toEqual([])
  })

  test('is refused when it does not say so whole', async () => {
    await expect(kept({ listed_at: null })).rejects.toMatchObject({ code: 'PB001' })
    await expect(kept({ listed_at: inDays(1), backups: null })).rejects.toMatchObject({ code: 'PB001' })
  })
})
