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

/** Ends a segment in which nothing but the row of the one before it was committed: its own row is held. */
async function storeHeldSegment(): Promise<void> {
  await backedUp.postgres.query('create table t as select 1')
  await backedUp.storeAllWal()
  const before = await until('the segment has its row', async () => {
    const now = await coverage()
    return now.ranges > 0 ? now : null
  })
  await backedUp.storeAllWal()
  expect(await coverage()).toEqual(before)
  expect(backedUp.bucket.keys().filter((key) => key.includes('/wal/')).length).toBeGreaterThan(1)
}

test('a segment that was stored and not recorded when the worker was killed is recorded by the next one', async () => {
  await storeHeldSegment()
  await backedUp.worker.kill9()
  const keys = backedUp.bucket.keys()
  backedUp.startWorker()
  await backedUp.postgres.query('insert into t values (2)')
  await backedUp.storeAllWal()
  await until('coverage reaches the slot', async () => {
    const [row] = await backedUp.postgres.query<{ whole: boolean }>(
      'select max(c.to_lsn) >= s.restart_lsn whole from backup.wal_coverage c, pg_replication_slots s group by s.restart_lsn',
    )
    return row!.whole
  })
  expect((await coverage()).ranges).toBe(1)
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
