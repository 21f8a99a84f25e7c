import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { parseManifestKey } from '../../src/box/key-names.js'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { diffSnapshots, snapshotRows } from '../sandbox/compare.js'
import { until } from '../sandbox/until.js'
import { missingRows, startWorkload, type Acknowledged, type Workload } from '../sandbox/workload.js'
import { disagreements } from './agreement.js'
import { durableRows } from './durable-rows.js'
import { hold, type Held } from './hold.js'
import { startPlainly } from './plain-restore.js'
import { showLogOfFailures } from './show-log.js'

const TAIL = /\/tail\//
const PART = /\/base\/[^/]+\/base\//

let backedUp: BackedUpServer
let workload: Workload

beforeAll(async () => {
  backedUp = await BackedUpServer.start({ initdb: ['--wal-segsize=1'] })
  await backedUp.postgres.query("select backup.configure('wal_interval', '100ms')")
  // So that little of a base backup is on its way when the first part is held.
  await backedUp.postgres.query("select backup.configure('part_bytes', '1MB')")
  await backedUp.postgres.query("select backup.configure('upload_connections', '1')")
  await backedUp.backUp()
  workload = await startWorkload(backedUp.postgres)
})

beforeEach(() => {
  workload.resume()
})

afterAll(async () => {
  await workload.stop()
  await backedUp.remove()
})

showLogOfFailures(() => backedUp)

/** Ends sessions of the worker by their name; gives how many. */
async function terminate(applicationName: string): Promise<number> {
  const ended = await backedUp.postgres.query(
    'select pg_terminate_backend(pid) from pg_stat_replication where application_name = $1',
    [applicationName],
  )
  return ended.length
}

/** Waits until new rows have been reported as durable, so that WAL flows whatever was before. */
async function flows(): Promise<void> {
  const from = workload.acknowledged.length
  await until('new rows are durable', async () => {
    const rows = await durableRows(backedUp, workload.acknowledged.slice(from))
    return rows.length > 0
  })
}

/** Catalog, bucket and server agree, and what was durable is there. */
async function agrees(safe: readonly Acknowledged[]): Promise<void> {
  await workload.pause()
  expect(await disagreements(backedUp)).toEqual([])
  expect(await missingRows(backedUp.postgres, safe)).toEqual([])
}

/** Restores the newest backup with plain tools, and compares every row. Nothing may be written meanwhile. */
async function restoresEveryRow(): Promise<void> {
  await backedUp.untilDurable()
  const rows = await snapshotRows(backedUp.postgres)
  const restored = await startPlainly(
    backedUp.bucket,
    backedUp.bucket.keys().findLast((key) => parseManifestKey(key))!,
  )
  try {
    expect(diffSnapshots(rows, await snapshotRows(restored), { recovered: true })).toEqual([])
  } finally {
    await restored.remove()
  }
}

/** Holds the next tail and gives what is durable then. */
async function holdTail(when: 'before-store' | 'after-store'): Promise<{ held: Held; safe: Acknowledged[] }> {
  await flows()
  const held = hold(backedUp.s3, when, { key: TAIL })
  await held.reached()
  return { held, safe: await durableRows(backedUp, workload.acknowledged) }
}

describe('a walsender that is ended', () => {
  test('again and again while tails are stored costs nothing', async () => {
    for (const when of ['before-store', 'after-store', 'before-store', 'after-store'] as const) {
      const { held } = await holdTail(when)
      expect(await terminate('postbox')).toBe(1)
      held.release()
    }
    await flows()
    await agrees(await durableRows(backedUp, workload.acknowledged))
    await restoresEveryRow()
  })

  test('in the middle of a base backup has it begun anew, and WAL is stored meanwhile', async () => {
    const held = hold(backedUp.s3, 'before-store', { key: PART })
    const jobId = await backedUp.startBase()
    await held.reached()
    expect(await terminate('postbox base backup')).toBe(1)
    await flows()
    held.release()
    expect(await backedUp.ended(jobId)).toMatchObject({ state: 'done', attempts: 2, error_code: null })
    await agrees(await durableRows(backedUp, workload.acknowledged))
    await restoresEveryRow()
  })

  test('in each attempt of a base backup fails it and says why, and WAL is stored on', async () => {
    await backedUp.postgres.query("select backup.configure('job_max_attempts', '1')")
    const held = hold(backedUp.s3, 'before-store', { key: PART })
    const jobId = await backedUp.startBase()
    await held.reached()
    expect(await terminate('postbox base backup')).toBe(1)
    held.release()
    expect(await backedUp.ended(jobId)).toMatchObject({
      state: 'failed',
      error_code: 'replication_failed',
      // The server's last word does not always get past what it has sent before.
      error_message: expect.stringMatching(
        /^BASE_BACKUP failed: (terminating connection due to administrator command|Connection terminated unexpectedly)$/,
      ) as string,
      error_hint: expect.stringMatching(/^Postbox tries again/) as string,
    })
    await backedUp.postgres.query("select backup.configure('job_max_attempts', null)")
    await flows()
    await agrees(await durableRows(backedUp, workload.acknowledged))
  })

  test('when it has sent the whole base backup is not missed', async () => {
    const held = hold(backedUp.s3, 'before-store', { key: /\/manifest-/ })
    const jobId = await backedUp.startBase()
    await held.reached()
    expect(await terminate('postbox base backup')).toBe(1)
    held.release()
    expect(await backedUp.ended(jobId)).toMatchObject({ state: 'done', attempts: 1 })
    await agrees(await durableRows(backedUp, workload.acknowledged))
    await restoresEveryRow()
  })
})

const endings = {
  'shut down fast': () => backedUp.postgres.stop('fast'),
  'shut down immediately': () => backedUp.postgres.stop('immediate'),
  'left without its postmaster': () => backedUp.postgres.killPostmaster(),
}

test.each(Object.entries(endings))(
  'a server that is %s before a tail is stored, and when one is stored and not yet reported, goes on without a gap',
  async (_, end) => {
    for (const when of ['before-store', 'after-store'] as const) {
      const { held, safe } = await holdTail(when)
      await end()
      held.release()
      await backedUp.postgres.start()
      await flows()
      await agrees(safe)
      workload.resume()
    }
    await workload.pause()
    await restoresEveryRow()
  },
)
