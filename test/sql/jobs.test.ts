import type { Client } from 'pg'
import { beforeEach, describe, expect, test } from 'vitest'
import { postgresVersions } from '../sandbox/postgres.js'
import { until } from '../sandbox/until.js'
import { installedServer, type InstalledServer } from './installed-server.js'

const outage = { code: 'box_unavailable', message: 'the box did not answer', hint: 'Wait.' }

/** Holds the worker lock, as a live worker does, until it is called. */
async function liveWorker(catalog: InstalledServer): Promise<() => Promise<void>> {
  const client: Client = await (await catalog.server()).connect({ user: 'walt' })
  await client.query('select pg_advisory_lock(backup._worker_lock_key())')
  return () => client.end()
}

describe.each(postgresVersions)('jobs on Postgres %i', (version) => {
  const catalog = installedServer(version)
  const start = () => catalog.value<string>('select backup.start_base()')
  const claim = async () => (await catalog.rows('select * from backup._claim_job()', [], 'walt'))[0]
  const job = async (jobId: string) => (await catalog.rows('select * from backup.jobs where job_id = $1', [jobId]))[0]!
  const setAttempts = (most: number) => catalog.rows(`select backup.configure('job_max_attempts', $1)`, [String(most)])

  beforeEach(async () => {
    await catalog.rows('delete from backup._job')
    await catalog.rows(`select backup._start_worker('1.0')`)
  })

  test('two backups started in one second are two jobs, claimed in their order', async () => {
    const queued = await catalog.rows(`select backup.start_base('a') as a, backup.start_base('b', 'spread') as b`)
    expect(await claim()).toEqual({
      job_id: queued[0]!['a'],
      kind: 'base',
      target: { label: 'a', checkpoint: 'fast' },
      attempt: 1,
    })
    expect(await claim()).toMatchObject({ job_id: queued[0]!['b'], target: { label: 'b', checkpoint: 'spread' } })
    expect(await claim()).toBeUndefined()
  })

  test.each([
    ['x', 'slow', /Use 'fast' or 'spread'/],
    ['x', null, /Use 'fast' or 'spread'/],
    ['two\nlines', 'fast', /one line/],
    ['x'.repeat(201), 'fast', /200 characters/],
  ])('a start with the label %j and the checkpoint %j is refused', async (label, checkpoint, hint) => {
    const error = await catalog.error('select backup.start_base($1, $2)', [label, checkpoint])
    expect(error).toMatchObject({ code: 'PB001', hint: expect.stringMatching(hint) as string })
    expect(await catalog.rows('select from backup.jobs')).toEqual([])
  })

  test('two sessions that claim at once get different jobs, and neither waits', async () => {
    const [first, second] = [await start(), await start()]
    const server = await catalog.server()
    const [a, b] = [await server.connect(), await server.connect()]
    await a.query('begin')
    await b.query('begin')
    const claimed = await a.query('select job_id from backup._claim_job()')
    const other = await b.query('select job_id from backup._claim_job()')
    const none = await b.query('select job_id from backup._claim_job()')
    await a.query('rollback')
    await b.query('commit')
    await Promise.all([a.end(), b.end()])
    expect([claimed.rows, other.rows, none.rows]).toEqual([[{ job_id: first }], [{ job_id: second }], []])
    expect(await claim()).toMatchObject({ job_id: first, attempt: 1 })
  })

  test('asking an empty queue writes nothing, so that an idle server settles', async () => {
    const position = () => catalog.value<string>('select pg_current_wal_insert_lsn()::text')
    // What was deleted before is tidied up by whoever reads first.
    await until('asking writes no WAL', async () => {
      const before = await position()
      await catalog.rows('begin', [], 'walt')
      expect(await claim()).toBeUndefined()
      await catalog.value('select backup._is_cancel_requested(1)', [], 'walt')
      expect(await catalog.value('select pg_current_xact_id_if_assigned()', [], 'walt')).toBeNull()
      await catalog.rows('commit', [], 'walt')
      return (await position()) === before
    })
  })

  test('progress shows in the view, with rate and time left', async () => {
    const end = await liveWorker(catalog)
    const jobId = await start()
    await claim()
    await catalog.rows('select backup._report_progress($1, $2, $3, $4)', [jobId, 'copying', 1000, 4000])
    await catalog.rows(`update backup._job set started_at = now() - interval '10 s'`)
    const row = await job(jobId)
    await end()
    expect(row).toMatchObject({ state: 'running', phase: 'copying', bytes_done: '1000', bytes_total: '4000' })
    expect(Number(row['rate'])).toBeGreaterThan(50)
    expect(Number(row['rate'])).toBeLessThanOrEqual(100)
    expect((row['eta'] as { seconds: number }).seconds).toBeGreaterThanOrEqual(30)
  })

  test('the same progress again writes nothing, and an ended job takes none', async () => {
    const jobId = await start()
    await claim()
    const report = 'select backup._report_progress($1, $2, $3, null)'
    await catalog.rows(report, [jobId, 'copying', 7])
    await catalog.rows('begin')
    await catalog.rows(report, [jobId, 'copying', 7])
    expect(await catalog.value('select pg_current_xact_id_if_assigned()')).toBeNull()
    await catalog.rows('commit')
    await catalog.rows('select backup._fail_job($1, $2, false)', [jobId, outage])
    await catalog.rows(report, [jobId, 'late', 9])
    expect(await job(jobId)).toMatchObject({ phase: 'copying', bytes_done: '7' })
  })

  test('a running job whose worker is gone reads as interrupted, and the next worker queues it again', async () => {
    const end = await liveWorker(catalog)
    const jobId = await start()
    await claim()
    expect(await job(jobId)).toMatchObject({ state: 'running' })
    await end()
    expect(await job(jobId)).toMatchObject({ state: 'interrupted' })
    expect(await catalog.value(`select backup._start_worker('1.1')`)).toBe(1)
    expect(await job(jobId)).toMatchObject({ state: 'queued', attempts: 1 })
    expect(await claim()).toMatchObject({ job_id: jobId, attempt: 2 })
  })

  test('a job whose worker was lost in its last attempt fails as worker_lost', async () => {
    await setAttempts(2)
    const jobId = await start()
    await claim()
    await catalog.rows(`select backup._start_worker('1.0')`)
    await claim()
    expect(await catalog.value(`select backup._start_worker('1.0')`)).toBe(0)
    expect(await job(jobId)).toMatchObject({ state: 'failed', error_code: 'worker_lost', attempts: 2 })
    expect(await claim()).toBeUndefined()
    await setAttempts(3)
  })

  test('a failure that may pass is tried again until no attempt is left', async () => {
    const jobId = await start()
    for (const state of ['queued', 'queued', 'failed']) {
      await claim()
      expect(await catalog.value('select backup._fail_job($1, $2, true)', [jobId, outage])).toBe(state)
      expect(await job(jobId)).toMatchObject({ state, error_code: 'box_unavailable', error_hint: 'Wait.' })
    }
    expect((await job(jobId))['ended_at']).not.toBeNull()
  })

  test('a failure that cannot pass ends the job at once', async () => {
    const jobId = await start()
    await claim()
    expect(await catalog.value('select backup._fail_job($1, $2, false)', [jobId, outage])).toBe('failed')
    const error = await catalog.error('select backup._fail_job($1, $2, false)', [jobId, outage])
    expect(error).toMatchObject({ code: 'PB014', message: `job ${jobId} is failed, not running` })
    expect(await catalog.error('select backup._fail_job($1, $2, false)', [jobId, { code: 'x' }])).toMatchObject({
      code: 'PB001',
    })
  })

  test('a queued job that is canceled ends at once; an ended one cannot be canceled', async () => {
    const jobId = await start()
    expect(await catalog.value('select backup.cancel($1)', [jobId])).toBe(true)
    expect(await job(jobId)).toMatchObject({ state: 'canceled', error_code: 'job_canceled' })
    expect(await catalog.value('select backup.cancel($1)', [jobId])).toBe(false)
    expect(await claim()).toBeUndefined()
    for (const unknown of ['0', null]) {
      expect(await catalog.error('select backup.cancel($1)', [unknown])).toMatchObject({ code: 'PB002' })
    }
  })

  test('a running job that is canceled ends when its worker says so', async () => {
    const end = await liveWorker(catalog)
    const jobId = await start()
    await claim()
    const asked = () => catalog.value('select backup._is_cancel_requested($1)', [jobId], 'walt')
    expect(await asked()).toBe(false)
    expect(await catalog.value('select backup.cancel($1)', [jobId])).toBe(true)
    expect(await asked()).toBe(true)
    expect(await job(jobId)).toMatchObject({ state: 'running' })
    await catalog.rows('select backup._end_canceled($1)', [jobId], 'walt')
    await end()
    expect(await job(jobId)).toMatchObject({ state: 'canceled' })
    expect(await asked()).toBe(true)
  })

  test('a job that fails or loses its worker while it is canceled does not start again', async () => {
    const end = await liveWorker(catalog)
    const [first, second] = [await start(), await start()]
    await claim()
    await claim()
    await catalog.rows('select backup.cancel($1), backup.cancel($2)', [first, second])
    expect(await catalog.value('select backup._fail_job($1, $2, true)', [first, outage])).toBe('canceled')
    expect(await catalog.value(`select backup._start_worker('1.0')`)).toBe(0)
    await end()
    expect(await job(second)).toMatchObject({ state: 'canceled' })
  })

  test('a job without a worker is canceled at once, and the worker that comes back is told', async () => {
    const jobId = await start()
    await claim()
    expect(await catalog.value('select backup.cancel($1)', [jobId])).toBe(true)
    expect(await job(jobId)).toMatchObject({ state: 'canceled' })
    await catalog.rows('select backup._end_canceled($1)', [jobId])
    expect(await catalog.error('select backup._fail_job($1, $2, true)', [jobId, outage])).toMatchObject({
      code: 'PB011',
      message: `job ${jobId} was canceled`,
    })
  })
})
