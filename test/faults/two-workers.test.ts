import { afterAll, beforeAll, expect, test } from 'vitest'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { WorkerProcess } from '../sandbox/command.js'
import { until } from '../sandbox/until.js'
import { disagreements } from './agreement.js'
import { hold } from './hold.js'
import { showLogOfFailures } from './show-log.js'

const WAITS = 'another worker serves this catalog'

let backedUp: BackedUpServer

beforeAll(async () => {
  backedUp = await BackedUpServer.start({ initdb: ['--wal-segsize=1'] })
})

afterAll(async () => {
  await backedUp.remove()
})

showLogOfFailures(() => backedUp)

/** A second worker on the same catalog, which has said that it waits. */
async function secondWorker(): Promise<WorkerProcess> {
  const second = new WorkerProcess(backedUp.databaseEnv())
  await second.says(WAITS)
  return second
}

/** The second takes the place of the first, which has ended. */
async function takesOver(second: WorkerProcess): Promise<void> {
  backedUp.worker = second
  await second.says('the worker has begun')
  await second.says('streaming WAL')
}

test('a second worker waits, says so once, and leaves the first alone', async () => {
  const second = await secondWorker()
  await backedUp.backUp()
  expect(second.log.split(WAITS)).toHaveLength(2)
  expect(second.log).not.toContain('the worker has begun')
  expect(await second.stop()).toBe(0)
  expect(await disagreements(backedUp)).toEqual([])
})

test('a second worker takes over when the first is stopped', async () => {
  const second = await secondWorker()
  expect(await backedUp.worker.stop()).toBe(0)
  await takesOver(second)
  await backedUp.backUp()
  expect(await disagreements(backedUp)).toEqual([])
})

test('a second worker takes over from one that is killed, and does its job', async () => {
  const second = await secondWorker()
  const held = hold(backedUp.s3, 'before-store', { key: /\/base\/[^/]+\/base\// })
  const jobId = await backedUp.startBase()
  await held.reached()
  await backedUp.worker.kill9()
  held.release()
  await takesOver(second)
  expect(await backedUp.ended(jobId)).toMatchObject({ state: 'done', attempts: 2 })
  expect(await disagreements(backedUp)).toEqual([])
})

test('what a schedule missed while no worker ran is queued once, also by two that begin at the same time', async () => {
  const { postgres } = backedUp
  const scheduled = async () => postgres.query('select job_id, state from backup.jobs where schedule is not null')
  const shown = async () => {
    const text = `select next_run_at > now() + interval '1 minute' as later, last_run_at, skipped from backup.schedules`
    return (await postgres.query<{ later: boolean | null; last_run_at: Date | null; skipped: string }>(text))[0]!
  }
  // One time a year is never near.
  await postgres.query(
    `select backup.schedule('yearly', to_char(now() + interval '40 days', '0 0 DD MM *'), 'base', time_zone => 'Asia/Tokyo')`,
  )
  await until('the worker has computed the next run', async () => (await shown()).later)
  expect(await backedUp.worker.stop()).toBe(0)
  await postgres.query(`update backup._schedule_run set next_run_at = date_trunc('minute', now()) - interval '2 years'`)
  const second = new WorkerProcess(backedUp.databaseEnv())
  const third = new WorkerProcess(backedUp.databaseEnv())
  try {
    await until('the run is queued and done', async () => (await scheduled())[0]?.['state'] === 'done')
    expect(await shown()).toMatchObject({ later: true, skipped: '0', last_run_at: expect.any(Date) as Date })
  } finally {
    backedUp.worker = second.log.includes('the worker has begun') ? second : third
    await (backedUp.worker === second ? third : second).stop()
  }
  expect(await scheduled()).toHaveLength(1)
  await postgres.query(`select backup.unschedule('yearly')`)
})

test('a worker that is stopped in the middle of a job leaves it to the next one', async () => {
  const held = hold(backedUp.s3, 'before-store', { key: /\/base\/[^/]+\/base\// })
  const jobId = await backedUp.startBase()
  await held.reached()
  expect(await backedUp.worker.stop()).toBe(0)
  held.release()
  expect((await backedUp.job(jobId)).state).toBe('interrupted')
  await takesOver(backedUp.startWorker())
  expect(await backedUp.ended(jobId)).toMatchObject({ state: 'done', attempts: 2 })
  expect(await disagreements(backedUp)).toEqual([])
})

test('a worker whose session with the catalog is ended begins again by itself', async () => {
  const held = hold(backedUp.s3, 'before-store', { key: /\/base\/[^/]+\/base\// })
  const jobId = await backedUp.startBase()
  await held.reached()
  await backedUp.postgres.query(
    "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'postbox worker'",
  )
  await backedUp.worker.says('the worker begins again')
  held.release()
  expect(await backedUp.ended(jobId)).toMatchObject({ state: 'done', attempts: 2 })
  expect(await disagreements(backedUp)).toEqual([])
})

test('a worker that is suspended and loses its lock to another does not commit what it had begun', async () => {
  const second = await secondWorker()
  const first = backedUp.worker
  const held = hold(backedUp.s3, 'after-store', { key: /\/manifest-/ })
  const jobId = await backedUp.startBase()
  await held.reached()
  process.kill(first.pid, 'SIGSTOP')
  held.release()
  try {
    // As if its network were cut: the server ends its sessions, and it does not notice.
    await backedUp.postgres.query(
      `select pg_terminate_backend(a.pid) from pg_stat_activity a
       where a.application_name like 'postbox%'
         and (a.application_name <> 'postbox worker' or a.pid = (select s.pid from backup._worker_session() s))`,
    )
    await takesOver(second)
    expect(await backedUp.ended(jobId)).toMatchObject({ state: 'done', attempts: 2 })
  } finally {
    process.kill(first.pid, 'SIGCONT')
  }
  await until('the first waits again', () => first.log.includes(WAITS))
  const backups = await backedUp.postgres.query('select * from backup.base_backups where job_id = $1', [String(jobId)])
  expect(backups).toHaveLength(1)
  expect(await first.stop()).toBe(0)
  expect(await disagreements(backedUp)).toEqual([])
})
