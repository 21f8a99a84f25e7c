import { describe, expect, test } from 'vitest'
import { cp, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Secret } from '../../src/secret.js'
import { ReplicationConnection } from '../../src/source/replication-connection.js'
import { WalAge } from '../../src/source/wal-age.js'
import { WalStream } from '../../src/source/wal-stream.js'
import { FramePool } from '../../src/transform/frame-pool.js'
import { parseLsn, type Lsn } from '../../src/wal/lsn.js'
import { postgresVersions, startFromDataDir } from '../sandbox/postgres.js'
import { run } from '../sandbox/run.js'
import { scratchDir } from '../sandbox/scratch.js'
import { until } from '../sandbox/until.js'
import { installedServer, type InstalledServer } from './installed-server.js'

const SEGMENT = 16 * 1024 * 1024

const views = [
  'jobs',
  'base_backups',
  'objects',
  'wal_coverage',
  'wal_gaps',
  'recovery_windows',
  'grants',
  'settings',
  'status',
  'checks',
]

interface Status {
  durable_lsn: string | null
  bytes_at_risk: string | null
  seconds_at_risk: string | null
}

const status = async (catalog: InstalledServer) =>
  (await catalog.rows<Status & Record<string, unknown>>('select * from backup.status', [], 'mona'))[0]!
const slotCheck = async (catalog: InstalledServer, name = 'slot') =>
  (await catalog.rows('select * from backup.checks where name = $1', [name], 'mona'))[0]!

const clock = (catalog: InstalledServer) => catalog.value<string>('select clock_timestamp()::text')
const atRiskSince = (catalog: InstalledServer) =>
  catalog.value<string | null>('select since::text from backup._at_risk()')
/** Reports as stored whatever the server has written, until that is all. */
const storeAll = (catalog: InstalledServer, wal: WalStream) =>
  until('all is stored', async () => {
    wal.reportStored(parseLsn(await catalog.value('select pg_current_wal_flush_lsn()::text')))
    const { bytes_at_risk, seconds_at_risk } = await status(catalog)
    return bytes_at_risk === '0' && seconds_at_risk === '0'
  })
/** As near to each other WAL is taken for one (src/source/wal-age.ts). */
const tenMillisecondsBefore = (catalog: InstalledServer, at: string) =>
  catalog.value<string>(`select ($1::timestamptz - interval '10 ms')::text`, [at])

/** Reads the slot as the worker does; reports only what it is told to. */
async function stream(catalog: InstalledServer, age = new WalAge()) {
  // The server notices a moment later that the connection before is gone.
  await until('the slot is free', async () => {
    const [slot] = await catalog.rows<{ free: boolean }>(
      'select bool_and(not active) as free from pg_replication_slots',
    )
    return slot!.free
  })
  const url = new Secret((await catalog.server()).url())
  const connection = await ReplicationConnection.open(url, 'postbox')
  const restart = parseLsn(await catalog.value(`select restart_lsn::text from pg_replication_slots`))
  const start = restart - (restart % BigInt(SEGMENT))
  const buffers = new FramePool(4, SEGMENT)
  const wal = new WalStream(
    connection,
    { slot: 'postbox', timeline: 1, start, stored: restart, segmentBytes: SEGMENT },
    buffers,
    age,
  )
  const ends: Lsn[] = []
  const reading = (async () => {
    for await (const event of wal.read()) {
      if (event.kind !== 'segment') break
      ends.push(event.segment.start + BigInt(SEGMENT))
      buffers.release(event.bytes)
    }
  })().catch(() => undefined)
  const close = async () => {
    connection.close()
    await reading
  }
  return { wal, ends, close }
}

describe.each(postgresVersions)('backup.status on Postgres %i', (version) => {
  const catalog = installedServer(version)
  const write = () => catalog.rows('create table if not exists t (x text); insert into t select repeat($$x$$, 1000)')

  test('without a slot nothing is known to be safe, and it says so', async () => {
    expect(await status(catalog)).toMatchObject({ durable_lsn: null, bytes_at_risk: null, seconds_at_risk: null })
    expect(await slotCheck(catalog)).toMatchObject({ state: 'crit' })
    expect(await slotCheck(catalog, 'wal_delay')).toMatchObject({ state: 'crit' })
  })

  test('nothing is stored of the segment in which the worker made a slot, and what was there waited for nobody', async () => {
    await catalog.rows(`select pg_create_physical_replication_slot('postbox', true)`)
    await catalog.rows(`select backup._start_worker('1.0')`)
    await write()
    const [before, since] = [await status(catalog), await atRiskSince(catalog)]
    await catalog.rows('select backup._report_slot_made(restart_lsn) from pg_replication_slots', [], 'walt')
    const after = await status(catalog)
    const [restart, durable] = [parseLsn(before.durable_lsn!), parseLsn(after.durable_lsn!)]
    expect(durable).toBe(restart - (restart % BigInt(SEGMENT)))
    expect(durable).toBeLessThan(restart)
    expect(BigInt(after.bytes_at_risk!)).toBeGreaterThanOrEqual(BigInt(before.bytes_at_risk!) + restart - durable)
    expect(await atRiskSince(catalog)).toBe(since)
    expect(await catalog.value('select backup._slot_made_at()::text', [], 'walt')).toBe(before.durable_lsn)
    await catalog.rows(`select pg_drop_replication_slot('postbox')`)
    await catalog.rows('delete from backup._worker')
  })

  test('a slot that nobody reads keeps WAL, which is at risk', async () => {
    await catalog.rows(`select pg_create_physical_replication_slot('postbox', true)`)
    await catalog.rows(`select backup._start_worker('1.0')`)
    await catalog.rows(`update backup._worker set started_at = now() - interval '1 hour'`)
    await write()
    const now = await status(catalog)
    expect(Number(now.bytes_at_risk)).toBeGreaterThan(1000)
    expect(Number(now.seconds_at_risk)).toBeGreaterThanOrEqual(version >= 17 ? 0 : 3600)
    expect(await slotCheck(catalog)).toMatchObject({
      state: 'crit',
      message: expect.stringContaining('nobody reads from the replication slot postbox') as string,
    })
  })

  test('what waited under one worker gets no younger by the next, nor by nobody streaming', async () => {
    await catalog.rows(`select backup._report_at_risk(s.restart_lsn, now() - interval '2 hours')
      from pg_replication_slots s`)
    expect(Number((await status(catalog)).seconds_at_risk)).toBeGreaterThanOrEqual(7200)
    const since = await atRiskSince(catalog)
    await catalog.rows(`select backup._start_worker('1.0')`)
    expect(await atRiskSince(catalog)).toBe(since)
    const { close } = await stream(catalog)
    await until('the slot is read', async () => (await slotCheck(catalog))['state'] === 'ok')
    expect(await atRiskSince(catalog)).toBe(since)
    await close()
    expect(await catalog.error('select backup._report_at_risk(null, now())', [], 'walt')).toMatchObject({
      code: 'PB001',
    })
  })

  test('the durable position is what a worker reported as stored', async () => {
    const { wal, ends, close } = await stream(catalog)
    await write()
    await catalog.rows('select pg_switch_wal()')
    const end = await until('a segment is read', () => ends.at(-1))
    expect(Number((await status(catalog)).bytes_at_risk)).toBeGreaterThan(0)
    wal.reportStored(end)
    await until('nothing is at risk', async () => {
      const now = await status(catalog)
      return now.durable_lsn !== null && parseLsn(now.durable_lsn) === end && now.bytes_at_risk === '0'
    })
    expect(await status(catalog)).toMatchObject({ seconds_at_risk: '0' })
    expect(await slotCheck(catalog)).toMatchObject({ state: 'ok', hint: null })
    expect(await slotCheck(catalog, 'wal_delay')).toMatchObject({ state: 'ok' })
    await close()
  })

  test('WAL at risk is as many bytes as are not stored, and as old as the first of them', async () => {
    const age = new WalAge()
    const { wal, close } = await stream(catalog, age)
    // A worker that has seen WAL come knows its age, and says so at once.
    await storeAll(catalog, wal)
    const before = await clock(catalog)
    await write()
    const first = parseLsn(await catalog.value('select pg_current_wal_flush_lsn()::text'))
    const seen = await until('the server was told', async () => {
      const since = await atRiskSince(catalog)
      return since !== null && since > before ? { since, at: await clock(catalog) } : null
    })
    const risk = await catalog.rows<Record<string, boolean>>(
      `select s.bytes_at_risk = pg_current_wal_lsn() - s.durable_lsn as bytes,
              s.seconds_at_risk <= extract(epoch from clock_timestamp() - $1::timestamptz) + 0.001 as no_older,
              s.seconds_at_risk >= extract(epoch from now() - $2::timestamptz) as no_younger
       from backup.status s`,
      [before, seen.at],
    )
    expect(risk).toEqual([{ bytes: true, no_older: true, no_younger: true }])

    // What comes behind it changes nothing; what is stored in front of it does.
    const later = await clock(catalog)
    await write()
    await until('all has come', () => age.since(first))
    expect(await atRiskSince(catalog)).toBe(seen.since)
    wal.reportStored(first)
    await until('the second is the oldest', async () => {
      const since = await atRiskSince(catalog)
      return since !== null && since !== seen.since && (await tenMillisecondsBefore(catalog, later)) <= since
    })
    await close()

    // The next session has it sent again, and knows better than that.
    const waits = age.since(first)
    const again = await stream(catalog, age)
    await until('the server was told again', async () => {
      const [row] = await catalog.rows<{ same: boolean }>(
        `select reply_time = '2000-01-01 UTC'::timestamptz + $1 * interval '1 microsecond' as same from pg_stat_replication`,
        [waits],
      )
      return row?.same
    })
    await storeAll(catalog, again.wal)
    await again.close()
  })

  test('a worker that did not see WAL come goes by the signs that it left', async () => {
    const { close } = await stream(catalog)
    await write()
    await until('the worker reads', async () => (await slotCheck(catalog))['state'] === 'ok')
    const seconds = async () => Number((await status(catalog)).seconds_at_risk)
    expect(await seconds()).toBeLessThan(60)
    await catalog.rows('select pg_switch_wal()')
    await write()
    const file = await catalog.value<string>(
      'select pg_walfile_name(restart_lsn + 1::numeric) from pg_replication_slots',
    )
    await run('touch', ['-d', '3 hours ago', join((await catalog.server()).dataDir, 'pg_wal', file)])
    expect(await seconds()).toBeGreaterThanOrEqual(3 * 3600)
    expect(await slotCheck(catalog, 'wal_delay')).toMatchObject({ state: 'crit' })
    await close()
  })

  test('trouble of the box says nothing of the age of WAL', async () => {
    const { wal, close } = await stream(catalog)
    await storeAll(catalog, wal)
    const problem = { code: 'box_unavailable', message: 'down', hint: 'Wait.' }
    await catalog.rows('select backup._report_problem($1, $2)', ['box', problem])
    await catalog.rows(
      `update backup._worker set problems = jsonb_set(problems, '{box,since}', to_jsonb(now() - interval '10 min'))`,
    )
    await write()
    expect(Number((await status(catalog)).bytes_at_risk)).toBeGreaterThan(0)
    expect(Number((await status(catalog)).seconds_at_risk)).toBeLessThan(600)
    await catalog.rows(`select backup._report_problem('box', null)`)
    await close()
  })

  test('kept WAL that nears its limit warns, and a lost slot is critical', async () => {
    await catalog.rows(`alter system set max_slot_wal_keep_size = '48MB'`)
    await catalog.rows('select pg_reload_conf()')
    for (let count = 0; count < 2; count++) {
      await write()
      await catalog.rows('select pg_switch_wal()')
    }
    await until('the check warns', async () => (await slotCheck(catalog, 'slot_limit'))['state'] !== 'ok')
    for (let count = 0; count < 4; count++) {
      await write()
      await catalog.rows('select pg_switch_wal()')
    }
    await catalog.rows('checkpoint')
    expect(await slotCheck(catalog)).toMatchObject({
      state: 'crit',
      message: 'the replication slot postbox has lost WAL that was not stored',
    })
  })

  test('reading the views writes nothing', async () => {
    await catalog.rows('checkpoint')
    for (const view of views) {
      await catalog.rows('begin', [], 'mona')
      await catalog.rows(`select * from backup.${view}`, [], 'mona')
      expect(await catalog.value('select pg_current_xact_id_if_assigned()', [], 'mona')).toBeNull()
      await catalog.rows('commit', [], 'mona')
    }
  })
})

describe.each(postgresVersions)('a standby of Postgres %i', (version) => {
  const catalog = installedServer(version)

  test('shows all views and refuses to change anything', async () => {
    const primary = await catalog.server()
    await catalog.rows('select backup.start_base()')
    await primary.stop()
    const dataDir = join(await scratchDir('standby'), 'data')
    await cp(primary.dataDir, dataDir, { recursive: true, preserveTimestamps: true })
    await writeFile(join(dataDir, 'standby.signal'), '')
    await run('chown', ['-R', '--reference', primary.dataDir, dataDir])
    const standby = await startFromDataDir({ version, dataDir })
    for (const view of views) await standby.query(`select * from backup.${view}`, [], { user: 'mona' })
    expect(await standby.query('select label, state from backup.jobs')).toEqual([{ label: null, state: 'queued' }])
    await expect(standby.query('select backup.start_base()')).rejects.toMatchObject({ code: '25006' })
    await standby.remove()
  })
})
