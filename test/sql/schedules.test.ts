import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { postgresVersions } from '../sandbox/postgres.js'
import { installedServer } from './installed-server.js'

const refusals: [what: string, args: unknown[], reason: RegExp][] = [
  ['a name with a blank', ['my backup', '0 0 * * *', 'base', '{}', 'UTC'], /cannot be the name/],
  ['no name', [null, '0 0 * * *', 'base', '{}', 'UTC'], /null cannot be the name/],
  ['no cron line', ['n', null, 'base', '{}', 'UTC'], /it is null/],
  ['four fields', ['n', '0 0 * *', 'base', '{}', 'UTC'], /it has 4 fields and not 5/],
  ['a minute that is none', ['n', '60 0 * * *', 'base', '{}', 'UTC'], /'60' is not from 0 to 59, as a minute/],
  ['a range that goes back', ['n', '0 5-3 * * *', 'base', '{}', 'UTC'], /'5-3' ends before it begins/],
  ['a day that never comes', ['n', '0 0 31 feb,apr *', 'base', '{}', 'UTC'], /none of its months has such a day/],
  ['a step of nothing', ['n', '*/0 0 * * *', 'base', '{}', 'UTC'], /the step of '\*\/0' is not from 1 to 60/],
  ['a zone that is none', ['n', '0 0 * * *', 'base', '{}', 'Mars'], /'Mars' is no time zone/],
  ['an abbreviation of a zone', ['n', '0 0 * * *', 'base', '{}', 'CEST'], /is no time zone/],
  ['no zone', ['n', '0 0 * * *', 'base', '{}', null], /null is no time zone/],
  ['a kind that is none', ['n', '0 0 * * *', 'wal', '{}', 'UTC'], /'wal' is no kind of backup/],
  ['a checkpoint that is none', ['n', '0 0 * * *', 'base', '{"checkpoint": "slow"}', 'UTC'], /no kind of checkpoint/],
  ['an option that is none', ['n', '0 0 * * *', 'base', '{"tables": []}', 'UTC'], /'tables' is no option/],
  ['options of another form', ['n', '0 0 * * *', 'base', '[]', 'UTC'], /no JSON object/],
  ['a label that is a number', ['n', '0 0 * * *', 'base', '{"label": 1}', 'UTC'], /label must be text/],
  ['a table that is not there', ['n', '0 0 * * *', 'dump', '{"tables": ["app.none"]}', 'UTC'], /no table app.none/],
  ['an empty list', ['n', '0 0 * * *', 'dump', '{"tables": []}', 'UTC'], /an empty list chooses nothing/],
  ['options of a dump that are wrong', ['n', '0 0 * * *', 'dump', '{"options": {"jobs": 65}}', 'UTC'], /jobs must be/],
  [
    'a condition that cannot be evaluated',
    ['n', '0 0 * * *', 'dump', '{"options": {"where": {"app.users": "ag > 3"}}}', 'UTC'],
    /"ag" does not exist/,
  ],
]

describe.each(postgresVersions)('schedules on Postgres %i', (version) => {
  const catalog = installedServer(version)
  const set = (name: string, cron: string, kind: string, options: object = {}) =>
    catalog.rows('select backup.schedule($1, $2, $3, $4)', [name, cron, kind, options], 'olga')
  /** As the worker does it. */
  const plan = (name: string, at: string) =>
    catalog.rows(
      `select backup._plan_schedule(s.name, s.cron, s.time_zone, date_trunc('second', now()) + $2::interval, null)
       from backup.schedules s where s.name = $1`,
      [name, at],
    )
  const due = async (name: string, following = '1 day') =>
    catalog.value<string | null>(
      'select backup._run_schedule($1, (select next_run_at from backup.schedules where name = $1), now() + $2::interval)',
      [name, following],
      'postgres',
    )
  const shown = async (name: string) =>
    (await catalog.rows('select * from backup.schedules where name = $1', [name], 'mona'))[0]!

  beforeAll(async () => {
    await catalog.rows(
      'create schema app; create table app.users (id int, age int); grant usage on schema app to public',
    )
    await catalog.rows('grant select on app.users to public')
  })

  beforeEach(async () => {
    await catalog.rows('truncate backup._job, backup._schedule cascade')
  })

  test.each(refusals)('%s is refused when it is set', async (_, args, reason) => {
    const error = await catalog.error('select backup.schedule($1, $2, $3, $4, $5)', args, 'olga')
    expect(error.message).toMatch(reason)
    if (error.code === 'PB001') expect(error.hint).toMatch(/\.$/)
    expect(await catalog.rows('select from backup.schedules')).toEqual([])
  })

  test('a schedule is shown as it was set, with its defaults, and is replaced under its name', async () => {
    await set('nightly', ' 30  2\t* * * ', 'base', { checkpoint: 'spread' })
    expect(await shown('nightly')).toMatchObject({
      kind: 'base',
      cron: '30 2 * * *',
      time_zone: 'UTC',
      options: { checkpoint: 'spread' },
      next_run_at: null,
      last_run_at: null,
      skipped: '0',
      set_by: 'olga',
    })
    await plan('nightly', '1 hour')
    await set('nightly', '0 3 * * *', 'dump')
    // What was computed for the line before no longer counts.
    expect(await shown('nightly')).toMatchObject({ kind: 'dump', cron: '0 3 * * *', next_run_at: null })
    expect(await catalog.value(`select backup.unschedule('nightly')`, [], 'olga')).toBe(true)
    expect(await catalog.value(`select backup.unschedule('nightly')`, [], 'olga')).toBe(false)
  })

  test('a run that is due is queued once, whoever asks', async () => {
    await set('nightly', '30 2 * * *', 'base', { label: 'at night', checkpoint: 'spread' })
    await plan('nightly', '-3 days')
    const [at] = await catalog.rows<{ at: Date }>('select next_run_at as at from backup.schedules')
    const ask = async () => {
      const session = await (await catalog.server()).connect({ user: 'walt' })
      const { rows } = await session.query<{ outcome: string | null }>(
        `select backup._run_schedule('nightly', $1, now() + interval '1 day') as outcome`,
        [at!.at.toISOString()],
      )
      await session.end()
      return rows[0]!.outcome
    }
    expect((await Promise.all([ask(), ask(), ask()])).sort()).toEqual([null, null, 'queued'].sort())
    const jobs = await catalog.rows('select kind, label, state, schedule from backup.jobs')
    expect(jobs).toEqual([{ kind: 'base', label: 'at night', state: 'queued', schedule: 'nightly' }])
    expect(await shown('nightly')).toMatchObject({ last_state: 'queued', last_run_at: at!.at })
  })

  test('what is not due, or would come again at once, is not queued', async () => {
    await set('nightly', '30 2 * * *', 'base')
    await plan('nightly', '1 hour')
    expect(await due('nightly', '2 hours')).toBeNull()
    await set('nightly', '30 2 * * *', 'base')
    await plan('nightly', '-1 hour')
    expect(await due('nightly', '-1 minute')).toBeNull()
    expect(await catalog.rows('select from backup._job')).toEqual([])
  })

  test('nothing is planned over what is planned, nor for a schedule that was changed meanwhile', async () => {
    await set('nightly', '30 2 * * *', 'base')
    await catalog.rows(`select backup._plan_schedule('nightly', '31 2 * * *', 'UTC', now(), null)`, [], 'walt')
    expect(await shown('nightly')).toMatchObject({ next_run_at: null })
    await plan('nightly', '1 hour')
    const { next_run_at } = await shown('nightly')
    await plan('nightly', '2 hours')
    expect(await shown('nightly')).toMatchObject({ next_run_at })
  })

  test.each(['queued', 'running'])(
    'while its last job is %s the next run is skipped, and that is recorded',
    async (state) => {
      await set('nightly', '30 2 * * *', 'base')
      await plan('nightly', '-2 hours')
      expect(await due('nightly', '1 second')).toBe('queued')
      if (state === 'running') await catalog.rows('select from backup._claim_job()')
      await catalog.rows(`update backup._schedule_run set next_run_at = now() - interval '1 second'`)
      expect(await due('nightly')).toBe('skipped')
      expect(await catalog.rows('select from backup._job')).toHaveLength(1)
      expect(await shown('nightly')).toMatchObject({ skipped: '1', last_skipped_at: expect.any(Date) as Date })
    },
  )

  test('a dump is queued as start_dump() would, by the rights of who has set it', async () => {
    const options = { tables: ['app.users'], label: 'users', options: { where: { 'app.users': 'age > 3' } } }
    await set('users', '0 * * * *', 'dump', options)
    await plan('users', '-1 minute')
    expect(await due('users')).toBe('queued')
    await catalog.rows(
      `select backup.start_dump('{app.users}', label => 'users', options => $1)`,
      [options.options],
      'olga',
    )
    const targets = await catalog.rows('select target from backup._job order by job_id')
    expect(targets[0]).toEqual(targets[1])
    expect(targets[0]!['target']).toMatchObject({ by_superuser: false })
  })

  test('a table that is gone when it is due is a job that failed, with what to do', async () => {
    await catalog.rows('create table app.passing (id int)')
    await set('passing', '0 * * * *', 'dump', { tables: ['app.passing'] })
    await catalog.rows('drop table app.passing')
    await plan('passing', '-1 minute')
    expect(await due('passing')).toBe('refused')
    expect(await catalog.rows('select state, error_message, error_hint, schedule from backup.jobs')).toEqual([
      {
        state: 'failed',
        schedule: 'passing',
        error_message: 'the schedule passing cannot be run: there is no table app.passing',
        error_hint: expect.stringContaining('start_dump') as string,
      },
    ])
  })

  test('what the worker cannot compute is shown until it can', async () => {
    await set('nightly', '30 2 * * *', 'base')
    const problem = { code: 'bad_argument', message: 'no such zone here', hint: 'Set it again.' }
    await catalog.rows(`select backup._plan_schedule('nightly', '30 2 * * *', 'UTC', null, $1)`, [problem], 'walt')
    expect(await shown('nightly')).toMatchObject({ error_message: problem.message, error_hint: problem.hint })
    await plan('nightly', '1 hour')
    expect(await shown('nightly')).toMatchObject({ error_message: null })
  })

  test('a condition is that of a superuser only when he has set it himself', async () => {
    const options = { tables: ['app.users'], options: { where: { 'app.users': 'age > 3' } } }
    const written = () =>
      catalog.rows('select name, set_by::text, by_superuser from backup._schedule order by name', [], 'postgres')
    await catalog.rows(`select backup.schedule('mine', '0 0 * * *', 'dump', $1)`, [options])
    await catalog.rows(`create schema if not exists olga authorization olga`)
    await catalog.rows(
      `create table olga.bait (n int);
       create function olga.set(n int) returns int language plpgsql immutable as $f$
       begin
         perform backup.schedule('forged', '0 0 * * *', 'dump', '${JSON.stringify(options)}');
         return n;
       end $f$;
       create index on olga.bait (olga.set(n));
       insert into olga.bait values (1), (2)`,
      [],
      'olga',
    )
    expect(await written()).toMatchObject([{ set_by: 'olga' }, { name: 'mine', by_superuser: true }])
    // It evaluates the expression as the owner of the table, and the session is that of the superuser.
    await catalog.rows('analyze olga.bait')
    expect(await written()).toMatchObject([
      { name: 'forged', set_by: 'postgres', by_superuser: false },
      { name: 'mine', by_superuser: true },
    ])
    await catalog.rows('drop schema olga cascade')
  })
})
