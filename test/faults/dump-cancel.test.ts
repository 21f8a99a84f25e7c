import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { BackedUpServer } from '../sandbox/backed-up-server.js'
import { clientPrograms } from '../sandbox/client/programs.js'
import { until } from '../sandbox/until.js'
import { disagreements } from './agreement.js'
import { storedDumps } from './dump-agreement.js'
import { startDump, startDumpedServer } from './dumped-server.js'
import { hold } from './hold.js'
import { checkBecomes } from './observe.js'
import { showLogOfFailures } from './show-log.js'

const bin = await clientPrograms()
const PART = /\/dump\/[^/]+\/data\/public\.kept\//

let backedUp: BackedUpServer

beforeAll(async () => {
  if (bin !== null) backedUp = await startDumpedServer(bin)
})

afterAll(async () => {
  await backedUp?.remove()
})

showLogOfFailures(() => backedUp)

type Session = Record<'pid' | 'query' | 'waits', string>

const sessions = () =>
  backedUp.postgres.query<Session>(
    `select pid, query, wait_event_type as waits from pg_stat_activity where application_name ~ '^postbox dump '`,
  )
/** No session of the dump is there any more, so that nothing holds its snapshot. */
const snapshotGone = () => until('the sessions of the dump are gone', async () => (await sessions()).length === 0)

/** Cancels, and lets the server itself see, by its own clock, that within two seconds nothing holds the snapshot. */
async function cancelSoon(jobId: bigint): Promise<void> {
  await backedUp.postgres.query(`do $$
    declare
      canceled_at timestamptz := clock_timestamp();
    begin
      perform backup.cancel(${jobId});
      commit;
      while exists (select from pg_stat_activity where application_name = 'postbox dump ${jobId}') loop
        assert clock_timestamp() < canceled_at + interval '2 s', 'the snapshot is held for more than two seconds';
        perform pg_sleep(0.01);
        perform pg_stat_clear_snapshot();
      end loop;
    end $$`)
  await until('the job is canceled', async () => (await backedUp.job(jobId)).state === 'canceled')
  expect(await sessions()).toEqual([])
}

/** pg_dump waits for a lock of another session, on a table that only pg_dump locks. */
async function whilePgDumpWaits(then: (jobId: bigint, unlock: () => Promise<void>) => Promise<void>): Promise<void> {
  const locker = await backedUp.postgres.connect()
  try {
    await locker.query('begin; lock table other')
    const jobId = await startDump(backedUp, `options => '{"exclude_data": ["public.other"]}'`)
    await until('pg_dump waits', async () => (await sessions()).some(({ waits }) => waits === 'Lock'))
    await then(jobId, async () => void (await locker.query('commit')))
  } finally {
    await locker.end()
  }
}

describe.skipIf(bin === null)('a dump', () => {
  test('shows how far it is, table by table', async () => {
    const held = hold(backedUp.s3, 'before-store', { key: PART, nth: 2 })
    const jobId = await startDump(backedUp, `options => '{"jobs": 1}'`)
    await held.reached()
    const shown = () =>
      backedUp.postgres.query('select tables_done, tables_total, copying from backup.jobs where job_id = $1', [
        jobId.toString(),
      ])
    const [row] = await until('it is shown', async () => {
      const rows = await shown()
      return rows[0]!.copying ? rows : null
    })
    const copying = [
      { table: 'public.kept', bytes_done: expect.any(Number), bytes_total: expect.any(Number) },
    ] as unknown
    expect(row).toEqual({ tables_done: 0, tables_total: 2, copying })
    held.release()
    expect(await backedUp.ended(jobId)).toMatchObject({ state: 'done' })
    expect(await shown()).toEqual([{ tables_done: 2, tables_total: 2, copying: null }])
  })

  test('that is canceled while it copies and the box takes nothing ends soon and commits nothing', async () => {
    const before = storedDumps(backedUp)
    const held = hold(backedUp.s3, 'before-store', { key: PART })
    const jobId = await startDump(backedUp)
    await held.reached()
    await until('it copies', async () => (await sessions()).some(({ query }) => query.startsWith('copy ')))
    await cancelSoon(jobId)
    held.release()
    expect(storedDumps(backedUp)).toEqual(before)
    expect(await disagreements(backedUp)).toEqual([])
  })

  test('that is canceled while pg_dump waits for a lock ends soon, pg_dump too', async () => {
    await whilePgDumpWaits(async (jobId) => {
      await cancelSoon(jobId)
    })
  })

  test('whose pg_dump loses its session begins anew', async () => {
    await whilePgDumpWaits(async (jobId, unlock) => {
      const waiting = (await sessions()).find(({ waits }) => waits === 'Lock')!
      await backedUp.postgres.query('select pg_terminate_backend($1)', [waiting.pid])
      await unlock()
      expect(await backedUp.ended(jobId)).toMatchObject({ state: 'done', attempts: 2 })
    })
    expect(await disagreements(backedUp)).toEqual([])
  })

  test('that takes longer than dump_max_duration while the box is silent fails, lets go, and is seen in backup.checks', async () => {
    await backedUp.postgres.query("select backup.configure('dump_max_duration', '2 seconds')")
    const undo = backedUp.s3.fail({ key: PART, times: Infinity, fault: { kind: 'silence' } })
    const jobId = await startDump(backedUp)
    const job = await backedUp.ended(jobId)
    expect(job).toMatchObject({ state: 'failed', attempts: 1, error_code: 'dump_too_long' })
    await snapshotGone()
    expect(await checkBecomes(backedUp, 'last_job', 'crit')).toMatchObject({
      message: `job ${jobId} failed: the dump took longer than dump_max_duration, 2 seconds`,
      hint: job.error_hint,
    })
    undo()
    await backedUp.postgres.query("select backup.configure('dump_max_duration', null)")
    expect(await backedUp.ended(await startDump(backedUp))).toMatchObject({ state: 'done' })
    await checkBecomes(backedUp, 'last_job', 'ok')
  })

  test('copies what somebody waits to change by the session that has its lock, and then lets them', async () => {
    const { postgres, bucket } = backedUp
    await postgres.query('create table gate as select * from kept union all select * from kept')
    await postgres.query('create index on kept (n)')
    const keeper = await postgres.connect()
    const changer = await postgres.connect()
    const before = new Set(bucket.keys())
    try {
      // Every connection waits in the largest table, until pg_dump needs no lock any more.
      await keeper.query('select pg_advisory_lock(42)')
      const { rows } = await keeper.query<{ id: string }>(
        `select backup.start_dump(options => '{"jobs": 3, "where": {"public.gate": "pg_advisory_lock_shared(42)::text = ''''"}}') id`,
      )
      await until('pg_dump has ended', () =>
        bucket.keys().some((key) => key.includes('/post-data/') && !before.has(key)),
      )
      const changing = changer.query('alter table kept add column more int')
      await until('it waits', async () => {
        const [row] = await postgres.query<{ n: string }>('select count(*) n from pg_locks where not granted')
        return Number(row!.n) > 3
      })
      await keeper.query('select pg_advisory_unlock(42)')
      expect(await backedUp.ended(BigInt(rows[0]!.id))).toMatchObject({ state: 'done', attempts: 1 })
      await changing
    } finally {
      await keeper.end()
      await changer.end()
    }
    expect(await disagreements(backedUp)).toEqual([])
  })
})
