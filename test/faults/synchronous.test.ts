import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { until } from '../sandbox/until.js'
import { disagreements } from './agreement.js'
import { hold } from './hold.js'
import { recordAllWal } from './observe.js'
import { showLogOfFailures } from './show-log.js'

/** Long for a COMMIT, and far less than any timeout that would end its wait. */
const SOON_MS = 10_000

let backedUp: BackedUpServer

beforeAll(async () => {
  backedUp = await BackedUpServer.start({ initdb: ['--wal-segsize=1'] })
  await backedUp.postgres.query('create table t (n int)')
})

afterAll(async () => {
  await backedUp.remove()
})

showLogOfFailures(() => backedUp)

/** Runs statements of which none waits for the box. */
async function locally(...statements: string[]): Promise<void> {
  const session = await backedUp.postgres.connect()
  for (const statement of ['set synchronous_commit = local', ...statements]) await session.query(statement)
  await session.end()
}

const waitForBox = (names: 'postbox' | '') =>
  locally(`alter system set synchronous_standby_names = '${names}'`, 'select pg_reload_conf()')

beforeEach(async () => {
  await waitForBox('')
  await recordAllWal(backedUp)
  await waitForBox('postbox')
  await until('a COMMIT waits for the box', async () => {
    const [row] = await backedUp.postgres.query<{ sync_state: string }>(
      "select sync_state from pg_stat_replication where application_name = 'postbox'",
    )
    return row?.sync_state === 'sync'
  })
})

/** Waits until the worker was sent all that is committed. */
async function allIsSent(): Promise<void> {
  await until('all WAL is sent', async () => {
    const [row] = await backedUp.postgres.query<{ sent: boolean }>(
      `select sent_lsn >= pg_current_wal_flush_lsn() as sent from pg_stat_replication where application_name = 'postbox'`,
    )
    return row?.sent
  })
}

/** Waits until so many COMMITs wait for the box. */
async function waitingForBox(count: number): Promise<void> {
  await until(`${count} COMMITs wait for the box`, async () => {
    const rows = await backedUp.postgres.query("select from pg_stat_activity where wait_event = 'SyncRep'")
    return rows.length === count
  })
}

const insert = 'insert into t values (1)'

/** A COMMIT that returns by itself. */
async function commits(): Promise<void> {
  let done = false
  const writing = backedUp.postgres.query('insert into t values (1)').then(() => (done = true))
  await until('the COMMIT returns', () => done, SOON_MS)
  await writing
}

test('a COMMIT that waits for the box does not wait for the rows of what is stored', async () => {
  // Each holds nothing but the rows of the one before, so that its own is held back until somebody else writes.
  for (let n = 0; n < 3; n++) {
    await backedUp.postgres.query('select pg_switch_wal()')
    await backedUp.storeAllWal()
    await commits()
    await commits()
  }
  expect(await disagreements(backedUp)).toEqual([])
})

test('COMMITs that wait for the box are not kept to the pace of tails that nobody waits for', async () => {
  let done = 0
  const writing = (async () => {
    for (; done < 12; done++) await backedUp.postgres.query('insert into t values (1)')
  })()
  await until('twelve COMMITs return', () => done === 12, SOON_MS)
  await writing
})

test('a COMMIT waits while the box takes nothing, and returns when it does', async () => {
  const held = hold(backedUp.s3, 'before-store', { key: /\/tail\// })
  let done = false
  const writing = backedUp.postgres.query('insert into t values (1)').then(() => (done = true))
  await held.reached()
  expect(done).toBe(false)
  held.release()
  await writing
})

test('a COMMIT that is local does not wait for the box, while another does', async () => {
  const held = hold(backedUp.s3, 'before-store', { key: /\/tail\// })
  let done = false
  const writing = backedUp.postgres.query(insert).then(() => (done = true))
  await held.reached()
  const session = await backedUp.postgres.connect()
  await session.query('begin')
  await session.query('set local synchronous_commit = local')
  await session.query(insert)
  await session.query('commit')
  await session.end()
  await waitingForBox(1)
  expect(done).toBe(false)
  held.release()
  await writing
})

test('COMMITs that wait at the same time wait for one tail', async () => {
  const tail = /\/tail\//
  const held = hold(backedUp.s3, 'before-store', { key: tail })
  const first = backedUp.postgres.query(insert)
  await held.reached()
  const from = backedUp.s3.requests.length
  const others = Array.from({ length: 32 }, () => backedUp.postgres.query(insert))
  await waitingForBox(33)
  await allIsSent()
  held.release()
  await Promise.all([first, ...others])
  const tails = backedUp.s3.requests.slice(from).filter(({ key }) => key !== null && tail.test(key))
  // What had been sent and not yet read, and rows, may be in one more each.
  expect(tails.length).toBeGreaterThanOrEqual(1)
  expect(tails.length).toBeLessThanOrEqual(3)
})

test('a worker that begins while COMMITs wait for it waits neither for itself nor for its pace', async () => {
  await backedUp.postgres.query(`select backup.configure('wal_interval', '1 min')`)
  await backedUp.worker.kill9()
  let done = false
  const writing = backedUp.postgres.query('insert into t values (1)').then(() => (done = true))
  const worker = backedUp.startWorker()
  await until('the worker streams', () => worker.log.includes('streaming WAL'), SOON_MS)
  await until('the COMMIT returns', () => done, SOON_MS)
  await writing
  await commits()
  await backedUp.postgres.query(`select backup.configure('wal_interval', null)`)
  expect(await disagreements(backedUp)).toEqual([])
})

test('a base backup is done while every COMMIT waits for the box', async () => {
  const jobId = await backedUp.startBase()
  await until('the job is done', async () => (await backedUp.job(jobId)).state === 'done', SOON_MS)
  await commits()
  expect(await disagreements(backedUp)).toEqual([])
})

/** What the server was told to be flushed, where in a segment all is said to be stored, and whether the slot is further. */
const standing = () =>
  backedUp.postgres.query(
    `select (select max(flush_lsn) from pg_stat_replication where application_name = 'postbox') as told,
            ((w.durable_lsn - '0/0') % pg_size_bytes(current_setting('wal_segment_size')))::text as stored,
            w.durable_lsn < s.restart_lsn as behind
     from backup.status w, pg_replication_slots s where s.slot_name = 'postbox'`,
  )

test('a COMMIT whose WAL is lost with the slot does not return before something is stored behind it', async () => {
  const held = hold(backedUp.s3, 'before-store', { key: /\/(tail|wal)\// })
  let done = false
  const writing = backedUp.postgres.query('insert into t values (1)').then(() => (done = true))
  await held.reached()
  const { log } = backedUp.worker
  await locally(`alter system set max_slot_wal_keep_size = '1MB'`, 'select pg_reload_conf()')
  await until('the slot is lost and made anew', async () => {
    await locally(...Array.from({ length: 4 }, () => 'select pg_current_xact_id(), pg_switch_wal()'), 'checkpoint')
    return backedUp.worker.log.slice(log.length).includes('the slot was lost and is made anew')
  })
  await locally('alter system reset max_slot_wal_keep_size', 'select pg_reload_conf()')
  await until('the worker has told the server that it streams', async () => {
    const rows = await backedUp.postgres.query(
      `select from pg_stat_replication
       where application_name = 'postbox' and state = 'streaming' and reply_time is not null`,
    )
    return rows.length === 1
  })
  expect(await standing()).toEqual([{ told: null, stored: '0', behind: true }])
  expect(done).toBe(false)
  await backedUp.worker.kill9()
  expect(await standing()).toEqual([{ told: null, stored: '0', behind: true }])
  expect(await backedUp.postgres.query('select from backup.wal_coverage')).toHaveLength(1)

  held.release()
  backedUp.startWorker()
  await writing
  await commits()
})
