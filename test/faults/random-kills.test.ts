import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, expect, test } from 'vitest'
import { parseManifestKey } from '../../src/box/key-names.js'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { Restores } from '../sandbox/restored.js'
import { until } from '../sandbox/until.js'
import { missingRows, startWorkload } from '../sandbox/workload.js'
import { disagreements } from './agreement.js'
import { durableRows } from './durable-rows.js'
import { startPlainly } from './plain-restore.js'

const KILLS = 100
const ROUNDS = 10
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
  const safe = await durableRows(backedUp, workload.acknowledged)
  expect(safe.length).toBeGreaterThan(100)
  await backedUp.postgres.kill9()
  await backedUp.worker.kill9()
  await workload.stop()
  expect(await missingRows(await restore(), safe)).toEqual([])
}, 600_000)

test(`with every COMMIT in the box, a commit that was answered survives the end of everything, ${ROUNDS} times at random`, async () => {
  backedUp = await BackedUpServer.start({ initdb: ['--wal-segsize=1'] })
  const { postgres, bucket } = backedUp
  await backedUp.backUp()
  await postgres.query("alter system set synchronous_standby_names = 'postbox'")
  await postgres.query('select pg_reload_conf()')
  const workload = await startWorkload(postgres, { restMs: 0, clients: 4 })
  const { acknowledged } = workload
  for (let round = 1; round <= ROUNDS; round++) {
    const { length } = acknowledged
    await until('commits are answered', () => acknowledged.length > length + 10)
    await delay(Math.random() * LONGEST_LIFE_MS)
    await Promise.all([postgres.kill9(), backedUp.worker.kill9()])
    const answered = [...acknowledged]
    // Nothing but the bucket, each time: what is missing there the server would bring again later.
    const manifest = bucket.keys().find((key) => parseManifestKey(key))!
    const restored = round % 5 === 0 ? await restore() : await startPlainly(bucket, manifest)
    try {
      expect(await missingRows(restored, answered)).toEqual([])
    } finally {
      await restored.remove()
    }
    await postgres.start()
    backedUp.startWorker()
  }
  await workload.stop()
  expect(await disagreements(backedUp)).toEqual([])
}, 600_000)
