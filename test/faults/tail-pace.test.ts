import { afterEach, beforeEach, expect, test } from 'vitest'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { until } from '../sandbox/until.js'
import { disagreements } from './agreement.js'
import { recordAllWal } from './observe.js'
import { showLogOfFailures } from './show-log.js'

const insert = 'insert into t values (1)'

let backedUp: BackedUpServer

beforeEach(async () => {
  backedUp = await BackedUpServer.start({ initdb: ['--wal-segsize=1'] })
  await backedUp.postgres.query('create table t (n int)')
  await configure('1min')
  // By then the worker knows.
  await recordAllWal(backedUp)
  for (let n = 0; n < 3; n++) await backedUp.postgres.query(insert)
  await until('the worker was sent all WAL', async () => {
    const [row] = await backedUp.postgres.query<{ sent: boolean }>(
      `select sent_lsn >= pg_current_wal_flush_lsn() as sent from pg_stat_replication where application_name = 'postbox'`,
    )
    return row?.sent
  })
})

afterEach(async () => {
  await backedUp.remove()
})

showLogOfFailures(() => backedUp)

/** With 1min a tail rests for longer than any `until` waits. */
const configure = (interval: string) =>
  backedUp.postgres.query("select backup.configure('wal_interval', $1)", [interval])

test('a COMMIT that begins to wait for the box does not wait until a tail has rested', async () => {
  await backedUp.postgres.query("alter system set synchronous_standby_names = 'postbox'")
  await backedUp.postgres.query('select pg_reload_conf()')
  let done = false
  const writing = (async () => {
    const session = await backedUp.postgres.connect()
    await until('COMMITs wait for the box', async () => {
      const { rows } = await session.query("select from pg_stat_replication where sync_state = 'sync'")
      return rows.length > 0
    })
    await session.query(insert)
    await session.end()
    done = true
  })()
  await until('the COMMIT returns', () => done)
  await writing
  expect(await disagreements(backedUp)).toEqual([])
})

test('a tail rests no longer when wal_interval is made shorter', async () => {
  await configure('1s')
  let done = false
  const storing = backedUp.untilDurable().then(() => (done = true))
  await until('all WAL is durable', () => done)
  await storing
})
