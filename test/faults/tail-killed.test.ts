import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseManifestKey } from '../../src/box/key-names.js'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { diffSnapshots, snapshotRows } from '../sandbox/compare.js'
import type { SandboxPostgres } from '../sandbox/postgres.js'
import { until } from '../sandbox/until.js'
import { missingRows, startWorkload, type Acknowledged, type Workload } from '../sandbox/workload.js'
import { disagreements } from './agreement.js'
import { durableRows } from './durable-rows.js'
import { hold, type Held } from './hold.js'
import { startPlainly } from './plain-restore.js'
import { showLogOfFailures } from './show-log.js'

let backedUp: BackedUpServer
let workload: Workload
let manifest: string

beforeAll(async () => {
  backedUp = await BackedUpServer.start({ initdb: ['--wal-segsize=1'] })
  // Several tails of each segment.
  await backedUp.postgres.query("select backup.configure('wal_interval', '100ms')")
  await backedUp.backUp()
  manifest = backedUp.bucket.keys().find((key) => parseManifestKey(key))!
  workload = await startWorkload(backedUp.postgres)
})

afterAll(async () => {
  await workload.stop()
  await backedUp.remove()
})

showLogOfFailures(() => backedUp)

/** Lets it write for some while, and waits until the box holds what it is posted next. */
async function arrive(
  when: 'before-store' | 'after-store',
  key: RegExp,
): Promise<{ held: Held; safe: Acknowledged[] }> {
  workload.resume()
  const from = workload.acknowledged.length
  await until('some rows more are durable', async () => {
    const rows = await durableRows(backedUp, workload.acknowledged.slice(from))
    return rows.length > 20
  })
  const held = hold(backedUp.s3, when, { key })
  await held.reached()
  return { held, safe: await durableRows(backedUp, workload.acknowledged) }
}

/** The next worker goes on, and the late post of the dead one may be stored beside it. */
async function goOn(held: Held): Promise<void> {
  held.release()
  backedUp.startWorker()
  await workload.pause()
  expect(await disagreements(backedUp)).toEqual([])
}

async function restored<T>(look: (server: SandboxPostgres) => Promise<T>): Promise<T> {
  const server = await startPlainly(backedUp.bucket, manifest)
  try {
    return await look(server)
  } finally {
    await server.remove()
  }
}

const ARROWS = [
  ['before a tail is stored', 'before-store', /\/tail\//],
  ['when a tail is stored and not yet reported', 'after-store', /\/tail\//],
  ['between the last tail of a segment and the whole of it', 'before-store', /\/wal\//],
  ['when a segment with tails is stored whole and its row is not written', 'after-store', /\/wal\//],
] as const

describe.each(ARROWS)('%s', (_, when, key) => {
  test('a worker that is killed leaves nothing out: another one goes on, and every row is restored', async () => {
    const { held } = await arrive(when, key)
    await backedUp.worker.kill9()
    await goOn(held)
    const rows = await snapshotRows(backedUp.postgres)
    const restoredRows = await restored(snapshotRows)
    expect(diffSnapshots(rows, restoredRows, { recovered: true })).toEqual([])
  })

  test('a server that is lost with its worker is restored with all that was durable, and goes on if it comes back', async () => {
    const { held, safe } = await arrive(when, key)
    await Promise.all([backedUp.postgres.kill9(), backedUp.worker.kill9()])
    expect(await restored((server) => missingRows(server, safe))).toEqual([])
    await backedUp.postgres.start()
    await goOn(held)
    expect(await missingRows(backedUp.postgres, safe)).toEqual([])
  })
})
