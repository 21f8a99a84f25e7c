import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { until } from '../sandbox/until.js'
import { disagreements, storedManifests } from './agreement.js'
import { hold } from './hold.js'
import { showLogOfFailures } from './show-log.js'

const SOON_MS = 5000

let backedUp: BackedUpServer

beforeAll(async () => {
  backedUp = await BackedUpServer.start({ initdb: ['--wal-segsize=1'] })
})

afterAll(async () => {
  await backedUp.remove()
})

showLogOfFailures(() => backedUp)

async function cancel(jobId: bigint): Promise<void> {
  const [row] = await backedUp.postgres.query<{ done: boolean }>('select backup.cancel($1) done', [jobId.toString()])
  expect(row!.done).toBe(true)
}

/** Waits, not long, until the job is canceled and its backup has ended on the server. */
async function canceledSoon(jobId: bigint): Promise<void> {
  await until('the job is canceled', async () => (await backedUp.job(jobId)).state === 'canceled', SOON_MS)
  await until(
    'the server does no base backup any more',
    async () => {
      const [row] = await backedUp.postgres.query<{ n: string }>(
        "select count(*) n from pg_stat_activity where application_name = 'postbox base backup'",
      )
      return row!.n === '0'
    },
    SOON_MS,
  )
  expect(await backedUp.job(jobId)).toMatchObject({ error_code: 'job_canceled' })
}

describe('a base backup that is canceled', () => {
  test.each([
    ['while parts are on their way', /\/base\/[^/]+\/base\//],
    ["while Postgres's manifest is on its way", /\/backup_manifest-/],
    ['while it waits for WAL', /\/wal\//],
  ])('%s ends soon, leaves no manifest and no walsender', async (_, key) => {
    const before = storedManifests(backedUp)
    const held = hold(backedUp.s3, 'before-store', { key })
    const jobId = await backedUp.startBase()
    await held.reached()
    if (key.source.includes('wal')) {
      await until('it waits for WAL', async () => (await backedUp.job(jobId)).phase === 'waiting for WAL')
    }
    await cancel(jobId)
    await canceledSoon(jobId)
    held.release()
    await backedUp.backUp('after the canceled one')
    expect(storedManifests(backedUp)).toHaveLength(before.length + 1)
    expect(storedManifests(backedUp).at(-1)!.label).toBe('after the canceled one')
    expect(await disagreements(backedUp)).toEqual([])
  })

  test('while it waits for a spread checkpoint ends soon and leaves no walsender', async () => {
    await backedUp.postgres.query('create table much as select n, md5(n::text) from generate_series(1, 200000) n')
    await backedUp.postgres.query("alter system set checkpoint_completion_target = '0.9'")
    await backedUp.postgres.query('select pg_reload_conf()')
    const [row] = await backedUp.postgres.query<{ job_id: string }>(
      "select backup.start_base(checkpoint => 'spread') job_id",
    )
    const jobId = BigInt(row!.job_id)
    await until('it waits for the checkpoint', async () => {
      const [at] = await backedUp.postgres.query<{ phase: string }>('select phase from pg_stat_progress_basebackup')
      return at?.phase === 'waiting for checkpoint to finish'
    })
    await cancel(jobId)
    await canceledSoon(jobId)
    await backedUp.backUp()
  })

  test('is canceled also when the worker misses the notice', async () => {
    const held = hold(backedUp.s3, 'before-store', { key: /\/base\/[^/]+\/base\// })
    const jobId = await backedUp.startBase()
    await held.reached()
    await backedUp.postgres.query('update backup._job set cancel_requested_at = now() where job_id = $1', [
      jobId.toString(),
    ])
    await canceledSoon(jobId)
    held.release()
  })

  test('too late is done: the manifest is in the box', async () => {
    const held = hold(backedUp.s3, 'after-store', { key: /\/manifest-/ })
    const jobId = await backedUp.startBase()
    await held.reached()
    await cancel(jobId)
    held.release()
    expect(await backedUp.ended(jobId)).toMatchObject({ state: 'done' })
    expect(await disagreements(backedUp)).toEqual([])
  })
})

describe('a queued job', () => {
  test('that is canceled never begins', async () => {
    const held = hold(backedUp.s3, 'before-store', { key: /\/base\/[^/]+\/base\// })
    const running = await backedUp.startBase()
    await held.reached()
    const queued = await backedUp.startBase('never')
    await cancel(queued)
    expect(await backedUp.job(queued)).toMatchObject({ state: 'canceled', attempts: 0 })
    held.release()
    expect(await backedUp.ended(running)).toMatchObject({ state: 'done' })
    expect(storedManifests(backedUp).map(({ label }) => label)).not.toContain('never')
  })

  test('that is canceled by an operator while no worker runs ends at once', async () => {
    await backedUp.worker.stop()
    const jobId = await backedUp.startBase()
    await cancel(jobId)
    expect(await backedUp.job(jobId)).toMatchObject({ state: 'canceled' })
    backedUp.startWorker()
    await backedUp.backUp()
  })
})

test('two backups that are asked for in one second are two backups with different names', async () => {
  const rows = await backedUp.postgres.query<{ first: string; second: string }>(
    "select backup.start_base('first') as first, backup.start_base('second') as second",
  )
  for (const jobId of [rows[0]!.first, rows[0]!.second]) {
    expect(await backedUp.ended(BigInt(jobId))).toMatchObject({ state: 'done' })
  }
  const ids = storedManifests(backedUp).map(({ backup_id }) => backup_id)
  expect(new Set(ids).size).toBe(ids.length)
  expect(await disagreements(backedUp)).toEqual([])
})
