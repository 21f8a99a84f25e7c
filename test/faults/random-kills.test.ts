import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, expect, test } from 'vitest'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { Restores } from '../sandbox/restored.js'
import { until } from '../sandbox/until.js'
import { missingRows, startWorkload, type Acknowledged } from '../sandbox/workload.js'
import { disagreements } from './agreement.js'

const KILLS = 100
/** Long enough to get into any step of the work, short enough to hit each of them. */
const LONGEST_LIFE_MS = 900

let backedUp: BackedUpServer
let restores: Restores | null = null
afterEach(async () => {
  await restores?.remove()
  await backedUp.remove()
})

/** The bucket of every BackedUpServer. */
const restore = () => (restores = new Restores(backedUp.s3, 'backups')).recover()

/** Commits that were reported as durable: their end lies before what the server has been told is flushed. */
async function durable(acknowledged: readonly Acknowledged[]): Promise<Acknowledged[]> {
  const [row] = await backedUp.postgres.query<{ flushed: string | null }>(
    `select coalesce((select max(flush_lsn) from pg_stat_replication where application_name = 'postbox'),
                     (select restart_lsn from pg_replication_slots where slot_name = 'postbox'))::text flushed`,
  )
  const kept = await backedUp.postgres.query<{ lsn: string }>(
    'select lsn::text from unnest($1::pg_lsn[]) lsn where lsn <= $2::pg_lsn',
    [acknowledged.map(({ lsn }) => lsn), row!.flushed],
  )
  const lsns = new Set(kept.map(({ lsn }) => lsn))
  return acknowledged.filter(({ lsn }) => lsns.has(lsn))
}

test(`a worker that is killed ${KILLS} times at random under load loses nothing that was reported as durable`, async () => {
  backedUp = await BackedUpServer.start()
  const workload = await startWorkload(backedUp.postgres)
  for (let kill = 0; kill < KILLS; kill++) {
    // A base backup is under way, too, until it was killed too often.
    if (kill % 20 === 0) await backedUp.startBase(`kill ${kill}`)
    if (kill % 7 === 0) await backedUp.postgres.query('select pg_switch_wal()')
    await delay(Math.random() * LONGEST_LIFE_MS)
    await backedUp.worker.kill9()
    backedUp.startWorker()
  }
  await backedUp.backUp('after all')
  expect(await disagreements(backedUp)).toEqual([])
  const safe = await durable([...workload.acknowledged])
  expect(safe.length).toBeGreaterThan(100)
  await backedUp.postgres.kill9()
  await backedUp.worker.kill9()
  await workload.stop()
  expect(await missingRows(await restore(), safe)).toEqual([])
}, 600_000)

test('with every COMMIT in the box, a commit that was answered survives the end of everything at any moment', async () => {
  for (let round = 0; round < 3; round++) {
    backedUp = await BackedUpServer.start()
    const { postgres } = backedUp
    await backedUp.backUp()
    await postgres.query("alter system set synchronous_standby_names = 'postbox'")
    await postgres.query('select pg_reload_conf()')
    const workload = await startWorkload(postgres, { restMs: 0 })
    const { acknowledged } = workload
    await until('commits are answered', () => acknowledged.length > 10)
    await delay(Math.random() * 2500)
    await Promise.all([postgres.kill9(), backedUp.worker.kill9()])
    const answered = [...acknowledged]
    expect(await missingRows(await restore(), answered)).toEqual([])
    await workload.stop()
    await restores!.remove()
    if (round < 2) await backedUp.remove()
  }
}, 600_000)
