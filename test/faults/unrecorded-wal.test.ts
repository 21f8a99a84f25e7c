import { afterEach, beforeEach, expect, test } from 'vitest'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { until } from '../sandbox/until.js'

let backedUp: BackedUpServer
beforeEach(async () => {
  backedUp = await BackedUpServer.start()
  await backedUp.worker.says('streaming WAL')
})
afterEach(() => backedUp.remove())

async function coverage(): Promise<{ ranges: number; to: string }> {
  const [row] = await backedUp.postgres.query<{ ranges: number; to: string }>(
    'select count(*)::int ranges, max(to_lsn)::text as to from backup.wal_coverage',
  )
  return row!
}

/**
 * Ends a segment in which nothing but the row of the one before it was committed: its own row is held.
 *
 * What the worker notes of itself after its start is a commit as well, and may come late: then the next segment is tried.
 */
async function storeHeldSegment(): Promise<void> {
  await backedUp.postgres.query('create table t as select 1')
  await backedUp.storeAllWal()
  await until('the segment has its row', async () => (await coverage()).ranges > 0)
  await until('a segment is stored and its row is held', endHeldSegment)
  expect(backedUp.bucket.keys().filter((key) => key.includes('/wal/')).length).toBeGreaterThan(1)
  expect(await rowsSlots()).toEqual([{ kept: true }])
}

async function endHeldSegment(): Promise<boolean> {
  const before = await coverage()
  await backedUp.storeAllWal()
  // What is stored is said at once, and a second slot keeps the WAL that has no row.
  return until('its row is written, or held and all of it counts as flushed', async () => {
    if ((await coverage()).to !== before.to) return { held: false }
    const [row] = await backedUp.postgres.query<{ flushed: boolean }>(
      `select r.flush_lsn > c.to_lsn and r.flush_lsn = r.write_lsn as flushed
       from pg_stat_replication r, backup.wal_coverage c where r.application_name = 'postbox'`,
    )
    return row!.flushed && (await rowsSlots()).length > 0 ? { held: true } : null
  }).then(({ held }) => held)
}

/** The second slot, and whether it keeps all WAL that is not recorded. */
const rowsSlots = () =>
  backedUp.postgres.query<{ kept: boolean }>(
    `select pg_walfile_name(s.restart_lsn) <= pg_walfile_name(c.to_lsn + 1::numeric) as kept
     from pg_replication_slots s, backup.wal_coverage c where s.slot_name = 'postbox_rows'`,
  )

test('a segment that was stored and not recorded when the worker was killed is recorded by the next one', async () => {
  await storeHeldSegment()
  await backedUp.worker.kill9()
  const keys = backedUp.bucket.keys()
  backedUp.startWorker()
  await backedUp.postgres.query('insert into t values (2)')
  await backedUp.storeAllWal()
  await until('coverage reaches the slot', async () => {
    const [row] = await backedUp.postgres.query<{ whole: boolean }>(
      `select max(c.to_lsn) >= max(s.restart_lsn) whole from backup.wal_coverage c, pg_replication_slots s
       where s.slot_name = 'postbox'`,
    )
    return row!.whole
  })
  expect((await coverage()).ranges).toBe(1)
  await until('the second slot is gone', async () => (await rowsSlots()).length === 0)
  // Streamed again, it landed on itself.
  expect(backedUp.bucket.keys().filter((key) => keys.includes(key))).toEqual(keys)
})

test('a segment that is stored and not recorded is not forgotten by the server', async () => {
  const { postgres } = backedUp
  for (const setting of ['wal_keep_size', 'min_wal_size', 'max_wal_size']) {
    await postgres.query(`alter system set ${setting} = '${setting === 'wal_keep_size' ? 0 : 32}MB'`)
  }
  await postgres.query('select pg_reload_conf()')
  await storeHeldSegment()
  await backedUp.worker.kill9()
  for (let n = 0; n < 6; n++) {
    await postgres.query('insert into t values (2)')
    await postgres.query('select pg_switch_wal()')
    await postgres.query('checkpoint')
  }
  backedUp.startWorker()
  await backedUp.storeAllWal()
  expect((await coverage()).ranges).toBe(1)
})

test('a worker that is stopped leaves no segment unrecorded', async () => {
  await storeHeldSegment()
  const before = await coverage()
  await backedUp.worker.stop()
  const after = await coverage()
  expect(after.ranges).toBe(1)
  expect(after.to).not.toBe(before.to)
  expect(await rowsSlots()).toEqual([])
})

test('where no second slot can be made the first one keeps the WAL of what has no row', async () => {
  const { postgres } = backedUp
  for (let n = 0; n < 9; n++) await postgres.query(`select pg_create_physical_replication_slot($1)`, [`other_${n}`])
  await postgres.query('create table t as select 1')
  await backedUp.storeAllWal()
  await until('the segment has its row', async () => (await coverage()).ranges > 0)
  await until('a segment is stored and its row is held', async () => {
    await backedUp.storeAllWal()
    return backedUp.worker.log.includes('no second slot could be made')
  })
  const { to } = await coverage()
  const [row] = await postgres.query<{ flushed: string; written: string }>(
    `select pg_walfile_name(flush_lsn) flushed, pg_walfile_name(write_lsn) written
     from pg_stat_replication where application_name = 'postbox'`,
  )
  const [first] = await postgres.query<{ name: string }>('select pg_walfile_name($1::pg_lsn + 1::numeric) name', [to])
  expect(row!.flushed <= first!.name).toBe(true)
  expect(row!.written > first!.name).toBe(true)
})

test('a slot that was dropped leaves no gap while the server still has the WAL', async () => {
  await storeHeldSegment()
  await backedUp.worker.stop()
  await backedUp.postgres.query("select pg_drop_replication_slot('postbox')")
  await backedUp.postgres.query('insert into t values (3)')
  await backedUp.postgres.query('select pg_switch_wal()')
  await backedUp.postgres.query('insert into t values (4)')
  backedUp.startWorker()
  await backedUp.worker.says('made the slot')
  await backedUp.storeAllWal()
  expect((await coverage()).ranges).toBe(1)
})
