import { beforeEach, describe, expect, test } from 'vitest'
import { postgresVersions } from '../sandbox/postgres.js'
import { installedServer } from './installed-server.js'
import { finish, record } from './wal-rows.js'

const problem = { code: 'box_refused', message: 'the box refused a part', hint: 'See its policy.' }

interface Check {
  name: string
  state: string
  message: string
  hint: string | null
}

describe.each(postgresVersions)('backup.checks on Postgres %i', (version) => {
  const catalog = installedServer(version)
  const check = async (name: string): Promise<Check> => {
    const rows = await catalog.rows<Check>('select * from backup.checks where name = $1', [name], 'mona')
    expect(rows).toHaveLength(1)
    return rows[0]!
  }
  const report = (component: string, what: object | null) =>
    catalog.rows('select backup._report_problem($1, $2)', [component, what], 'walt')
  const keepGrant = (ends: string, maxPartBytes = 64 << 20) =>
    catalog.rows(
      `insert into backup._grant (server, content, digest, issued_at, expires_at)
       values ('db1', jsonb_build_object('max_part_bytes', $2::bigint), sha256(random()::text::bytea), now() - interval '9 days',
         now() + $1::interval)`,
      [ends, maxPartBytes],
    )

  beforeEach(async () => {
    await catalog.rows('truncate backup._grant; truncate backup._job, backup._schedule, backup._check_state cascade')
    await catalog.rows(`select backup.configure('server', 'db1'), backup._start_worker('1.0')`)
  })

  test('every check that is not ok says what to do, and every check has one row', async () => {
    const rows = await catalog.rows<Check>('select * from backup.checks', [], 'mona')
    expect(rows.map((row) => row.name).sort()).toEqual(
      [
        'base_age',
        'box',
        'clock',
        'disk',
        'drill_age',
        'grant',
        'issuer',
        'last_job',
        'schedules',
        'slot',
        'slot_limit',
        'wal_backlog',
        'wal_delay',
        'webhook',
        'wal_gap',
        'worker',
      ].sort(),
    )
    for (const { state, message, hint } of rows) {
      expect(['ok', 'warn', 'crit']).toContain(state)
      expect(message).toMatch(/^\S/)
      if (state === 'ok') expect(hint).toBeNull()
      else expect(hint).toMatch(/\.$/)
    }
  })

  test('worker: alive while its session holds the lock', async () => {
    expect(await check('worker')).toMatchObject({ state: 'crit', message: 'no worker runs' })
    const worker = await (await catalog.server()).connect({ user: 'walt' })
    await worker.query('select pg_advisory_lock(backup._worker_lock_key())')
    expect(await check('worker')).toMatchObject({ state: 'ok', hint: null })
    expect(await catalog.rows('select worker_alive, worker_version from backup.status', [], 'mona')).toEqual([
      { worker_alive: true, worker_version: '1.0' },
    ])
    await report('wal', problem)
    expect(await check('worker')).toMatchObject({ state: 'crit', message: problem.message, hint: problem.hint })
    await worker.end()
    expect(await check('worker')).toMatchObject({ state: 'crit', message: 'no worker runs' })
  })

  test('worker: the lock in the hands of somebody else is no worker, and he is named', async () => {
    const other = await (await catalog.server()).connect({ user: 'nora' })
    await other.query('select pg_advisory_lock($1)', [await catalog.value('select backup._worker_lock_key()')])
    const found = await check('worker')
    await other.end()
    expect(found).toMatchObject({
      state: 'crit',
      message: 'nora holds the worker lock and is no member of backup_worker',
      hint: expect.stringContaining('pg_terminate_backend') as string,
    })
  })

  test('grant: warns before the last one ends and is critical after', async () => {
    expect(await check('grant')).toMatchObject({ state: 'crit', message: 'no grant is installed' })
    await keepGrant('-1 hour')
    expect(await check('grant')).toMatchObject({
      state: 'crit',
      message: expect.stringContaining('ended at') as string,
    })
    await keepGrant('2 hours')
    expect(await check('grant')).toMatchObject({ state: 'warn' })
    await keepGrant('4 hours')
    expect(await check('grant')).toMatchObject({ state: 'ok' })
    await keepGrant('5 hours', 1 << 20)
    expect(await check('grant')).toMatchObject({ state: 'warn', hint: expect.stringContaining('part_bytes') as string })
  })

  test('box and issuer: what the worker reported stands until it works again', async () => {
    await report('box', problem)
    await report('issuer', { ...problem, message: 'the issuer is away' })
    expect(await check('box')).toMatchObject({ state: 'crit', message: problem.message, hint: problem.hint })
    expect(await check('issuer')).toMatchObject({ state: 'warn', message: 'the issuer is away' })
    expect(await catalog.value('select worker_error_code from backup.status')).toBe('box_refused')
    await report('box', null)
    expect(await check('box')).toMatchObject({ state: 'ok' })
    await catalog.rows(`select backup._start_worker('1.1')`)
    expect(await check('issuer')).toMatchObject({ state: 'ok' })
  })

  test('a problem that is reported again writes nothing for a minute, and keeps when it began', async () => {
    const silent = async (text: string, params: unknown[]) => {
      await catalog.rows('begin')
      await catalog.rows(text, params)
      const xid = await catalog.value('select pg_current_xact_id_if_assigned()')
      await catalog.rows('commit')
      return xid === null
    }
    const text = 'select backup._report_problem($1, $2)'
    expect(await silent(text, ['box', null])).toBe(true)
    expect(await silent(text, ['box', problem])).toBe(false)
    expect(await silent(text, ['box', problem])).toBe(true)
    expect(await silent(text, ['box', { ...problem, message: 'request 2 was refused' }])).toBe(true)
    const since = await catalog.value(`select problems #>> '{box,since}' from backup._worker`)
    await catalog.rows(
      `update backup._worker set problems = jsonb_set(problems, '{box,reported_at}', to_jsonb(now() - interval '2 min'))`,
    )
    expect(await silent(text, ['box', { ...problem, message: 'request 3 was refused' }])).toBe(false)
    expect(await silent(text, ['box', { ...problem, code: 'box_missing' }])).toBe(false)
    expect(await catalog.rows(`select problems #>> '{box,since}' as since from backup._worker`)).toEqual([{ since }])
    expect(await catalog.error(text, ['disk', problem])).toMatchObject({ code: 'PB001' })
    expect(await catalog.error(text, ['box', { code: 'x' }])).toMatchObject({ code: 'PB001' })
  })

  test('base_age and last_job: the newest base backup and the last job that ended', async () => {
    expect(await check('base_age')).toMatchObject({ state: 'crit', message: 'there is no base backup' })
    expect(await check('last_job')).toMatchObject({ state: 'ok', message: 'no job has ended yet' })
    const system = await catalog.systemIdentifier()
    await record(catalog, system, [{ number: 1 }])
    await finish(catalog, system, 'aging', { from: 1, to: 2 })
    for (const [age, state] of [
      ['1 day', 'ok'],
      ['9 days', 'warn'],
      ['17 days', 'crit'],
    ]) {
      await catalog.rows('update backup._base_backup set stopped_at = now() - $1::interval', [age])
      expect(await check('base_age')).toMatchObject({ state })
    }
    expect(await check('last_job')).toMatchObject({ state: 'ok' })
    const jobId = await catalog.value('select backup.start_base()')
    await catalog.rows('select from backup._claim_job()')
    await catalog.rows('select backup._fail_job($1, $2, false)', [jobId, problem])
    const text = `job ${String(jobId)} failed: ${problem.message}`
    expect(await check('last_job')).toMatchObject({ state: 'crit', message: text, hint: problem.hint })
  })

  /** A job that has ended so. */
  const ended = async (kind: string, state: 'done' | 'failed', schedule: string | null = null) =>
    catalog.value<string>(
      `insert into backup._job (kind, state, target, schedule, started_at, ended_at, error)
       values ($1, $2::backup.job_state, '{}', $3, now(), now(), case when $2 = 'failed' then $4::jsonb end) returning job_id`,
      [kind, state, schedule, problem],
    )

  test('last_job: a failure stands until the same kind, or the same schedule, was done', async () => {
    const first = await ended('dump', 'failed')
    await ended('base', 'done')
    const second = await ended('dump', 'failed')
    expect(await check('last_job')).toMatchObject({
      state: 'crit',
      message: `job ${second} failed, as 1 before it: ${problem.message}`,
    })
    expect(Number(second)).toBeGreaterThan(Number(first))
    await ended('dump', 'done')
    expect(await check('last_job')).toMatchObject({ state: 'ok', hint: null })
    await catalog.rows(`select backup.schedule('nightly', '0 2 * * *', 'base')`)
    const third = await ended('base', 'failed', 'nightly')
    await ended('base', 'done')
    expect(await check('last_job')).toMatchObject({
      state: 'crit',
      message: `job ${third} of the schedule nightly failed: ${problem.message}`,
    })
    await ended('base', 'done', 'nightly')
    expect(await check('last_job')).toMatchObject({ state: 'ok' })
    await ended('base', 'failed', 'nightly')
    await catalog.rows(`select backup.unschedule('nightly')`)
    // Nobody waits for it any more.
    expect(await check('last_job')).toMatchObject({ state: 'ok' })
  })

  test('a base backup and a drill from before an upgrade are none of this cluster, though nothing of it is stored yet', async () => {
    await catalog.rows('truncate backup._wal_segment, backup._wal_range, backup._drill, backup._base_backup')
    await record(catalog, 1, [{ number: 1 }])
    await finish(catalog, 1, 'before-upgrade', { from: 1, to: 2 })
    await catalog.rows('update backup._base_backup set stopped_at = now()')
    const drill = (system: string) =>
      catalog.rows(
        `insert into backup._drill (server, system_identifier, backup_id, target, started_at, finished_at, ok,
           restore_seconds, recovery_seconds, restored_bytes, checks)
         values ('db1', $1, 'x', 'latest', now(), now(), true, 1, 1, 1, '[]')`,
        [system],
      )
    await drill('1')
    const status = () =>
      catalog.rows('select last_base_id, last_base_at, last_segment, last_drill_at from backup.status', [], 'mona')
    expect(await check('base_age')).toMatchObject({ state: 'crit', message: 'there is no base backup' })
    expect(await check('drill_age')).toMatchObject({ message: 'no restore was proved yet' })
    expect(await status()).toEqual([
      { last_base_id: null, last_base_at: null, last_segment: null, last_drill_at: null },
    ])
    const system = await catalog.systemIdentifier()
    await record(catalog, system, [{ number: 1 }])
    await finish(catalog, system, 'after-upgrade', { from: 1, to: 2 })
    await catalog.rows('update backup._base_backup set stopped_at = now()')
    await drill(system)
    expect(await check('base_age')).toMatchObject({ state: 'ok' })
    expect(await check('drill_age')).toMatchObject({ message: expect.stringContaining('was proved at') as string })
    expect(await status()).toMatchObject([{ last_base_id: 'after-upgrade', last_drill_at: expect.any(Date) as Date }])
  })

  test('slot_limit: counts to the nearer of the two limits at which WAL is lost', async () => {
    expect((await check('slot_limit')).message).toMatch(/it may grow until the disk is full/)
    await catalog.rows(`select backup.configure('wal_keep_limit', '50GB')`)
    expect((await check('slot_limit')).message).toMatch(/of 51200 MB before the slot is lost/)
    await catalog.rows(`select backup.configure('wal_keep_limit', null)`)
  })

  test('where WAL is not wanted nothing is asked of it, and the newest whole dump of each database must be young', async () => {
    await catalog.rows(`select backup.configure('stream_wal', 'off')`)
    for (const name of ['wal_delay', 'wal_gap', 'wal_backlog', 'slot', 'slot_limit']) {
      expect(await check(name)).toMatchObject({ state: 'ok', message: expect.stringContaining('stream_wal') as string })
    }
    expect(await check('base_age')).toMatchObject({ state: 'crit', message: 'there is no whole dump' })
    const dump = (id: number, database: string, age: string, whole: boolean) =>
      catalog.rows(
        `with job as (insert into backup._job (kind, target) values ('dump', '{}') returning job_id)
         insert into backup._dump select $1::text, job_id, null, 2, $2, '0/1', now() - $3::interval, now(), $4, false, 0, 0, 0, 0, $1::text, 180000
         from job`,
        [id, database, age, whole],
      )
    await dump(1, 'shop', '1 hour', true)
    expect(await check('base_age')).toMatchObject({ state: 'ok' })
    await dump(2, 'blog', '10 days', true)
    await dump(3, 'blog', '1 hour', false)
    expect(await check('base_age')).toMatchObject({ state: 'warn', hint: 'Start one: select backup.start_dump().' })
    await catalog.rows(`delete from backup._dump; delete from backup._job where kind = 'dump'`)
    await catalog.rows(`select backup.configure('stream_wal', null)`)
  })

  test('wal_gap: critical until a base backup was taken after the gap', async () => {
    await catalog.rows('truncate backup._wal_segment, backup._wal_range, backup._base_backup')
    const system = await catalog.systemIdentifier()
    await record(catalog, system, [{ number: 1 }, { number: 2 }])
    await finish(catalog, system, 'before-gap', { from: 1, to: 2 })
    expect(await check('wal_gap')).toMatchObject({ state: 'ok' })
    await record(catalog, system, [{ number: 4 }, { number: 5 }])
    expect(await check('wal_gap')).toMatchObject({
      state: 'crit',
      hint: expect.stringContaining('start_base') as string,
    })
    await finish(catalog, system, 'after-gap', { from: 4, to: 5 })
    expect(await check('wal_gap')).toMatchObject({
      state: 'ok',
      message: 'WAL is missing in 1 places before the newest base backup',
    })
  })
})
