import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseManifestKey } from '../../src/box/key-names.js'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { until } from '../sandbox/until.js'
import { disagreements, storedManifests } from './agreement.js'
import { hold, type Held } from './hold.js'
import { startPlainly } from './plain-restore.js'
import { showLogOfFailures } from './show-log.js'

let backedUp: BackedUpServer

beforeAll(async () => {
  backedUp = await BackedUpServer.start({ initdb: ['--wal-segsize=1'] })
  await backedUp.postgres.query('create table kept as select generate_series(1, 1000) as n')
  await backedUp.postgres.query("select backup.configure('part_bytes', '1MB')")
  await backedUp.postgres.query("select backup.configure('upload_connections', '1')")
})

afterAll(async () => {
  await backedUp.remove()
})

showLogOfFailures(() => backedUp)

/** Kills the worker while the box holds what it posts, and starts another one. */
async function killAt(held: Held): Promise<void> {
  await held.reached()
  await backedUp.worker.kill9()
  held.release()
  backedUp.startWorker()
}

/** The job ends well in its second attempt. */
async function doneAgain(jobId: bigint): Promise<void> {
  const job = await backedUp.ended(jobId)
  expect(job, backedUp.worker.log).toMatchObject({ state: 'done', attempts: 2, error_code: null })
}

describe('a base backup whose worker is killed', () => {
  test.each([
    ['before its first part is stored', 'before-store', /\/base\/[^/]+\/base\/000000-/],
    ['between two parts', 'before-store', /\/base\/[^/]+\/base\/000002-/],
    ['when a part is stored and its row is not written', 'after-store', /\/base\/[^/]+\/base\/000001-/],
    ["before Postgres's own manifest is stored", 'before-store', /\/backup_manifest-/],
    ['after its last part and before its WAL is stored', 'before-store', /\/wal\//],
    ['before its manifest is stored', 'before-store', /\/manifest-/],
  ] as const)('%s begins anew and is done', async (_, when, key) => {
    const before = storedManifests(backedUp).length
    const held = hold(backedUp.s3, when, { key })
    const jobId = await backedUp.startBase()
    if (key.source.includes('wal')) {
      await until('all parts are stored', async () => (await backedUp.job(jobId)).phase === 'waiting for WAL')
    }
    await killAt(held)
    await doneAgain(jobId)
    expect(storedManifests(backedUp)).toHaveLength(before + 1)
    expect(await disagreements(backedUp)).toEqual([])
  })

  test('after its manifest is stored leaves a whole backup and takes another', async () => {
    const before = storedManifests(backedUp).length
    const held = hold(backedUp.s3, 'after-store', { key: /\/manifest-/ })
    const jobId = await backedUp.startBase()
    await killAt(held)
    await doneAgain(jobId)
    const manifests = storedManifests(backedUp)
    expect(manifests).toHaveLength(before + 2)
    expect(await disagreements(backedUp)).toEqual([])
    // The one that no row knows.
    expect(await rowsRestored(manifests.at(-2)!.backup_id)).toBe('1000')
  })

  test('fails as worker_lost when that happens in each of its attempts', async () => {
    await backedUp.postgres.query("select backup.configure('job_max_attempts', '2')")
    const jobId = await backedUp.startBase()
    for (let attempt = 1; attempt <= 2; attempt++)
      await killAt(hold(backedUp.s3, 'before-store', { key: /\/base\/[^/]+\/base\// }))
    expect(await backedUp.ended(jobId)).toMatchObject({ state: 'failed', attempts: 2, error_code: 'worker_lost' })
    await backedUp.postgres.query("select backup.configure('job_max_attempts', null)")
    expect(await disagreements(backedUp)).toEqual([])
  })
})

describe('WAL whose worker is killed', () => {
  test.each([
    ['before a segment is stored', 'before-store'],
    ['when a segment is stored and its row is not written', 'after-store'],
  ] as const)('%s is stored by the next one', async (_, when) => {
    const held = hold(backedUp.s3, when, { key: /\/wal\// })
    await backedUp.postgres.query('insert into kept select generate_series(1, 10)')
    await backedUp.postgres.query('select pg_switch_wal()')
    await killAt(held)
    expect(await disagreements(backedUp)).toEqual([])
  })

  test('with several segments on their way is stored without a gap', async () => {
    const held = hold(backedUp.s3, 'after-store', { key: /\/wal\// })
    for (let n = 0; n < 3; n++) {
      await backedUp.postgres.query('insert into kept select generate_series(1, 10)')
      await backedUp.postgres.query('select pg_switch_wal()')
    }
    await held.reached(3)
    await killAt(held)
    expect(await disagreements(backedUp)).toEqual([])
  })
})

test('after all that the newest backup is restored with plain tools, to the last row', async () => {
  const [row] = await backedUp.postgres.query<{ n: string }>('select count(*) n from kept')
  await backedUp.storeAllWal()
  const newest = storedManifests(backedUp).at(-1)!.backup_id
  expect(await rowsRestored(newest)).toBe(row!.n)
})

async function rowsRestored(backupId: string): Promise<string> {
  const key = backedUp.bucket.keys().find((one) => parseManifestKey(one)?.backupId === backupId)!
  const restored = await startPlainly(backedUp.bucket, key)
  try {
    const [row] = await restored.query<{ n: string }>('select count(*) n from kept')
    return row!.n
  } finally {
    await restored.remove()
  }
}
