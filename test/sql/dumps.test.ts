import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { postgresVersions } from '../sandbox/postgres.js'
import { installedServer } from './installed-server.js'

const refusals: [what: string, args: string, reason: RegExp][] = [
  ['an unknown option', `options => '{"job": 1}'`, /'job' is no option/],
  ['options that are a list', `options => '[]'`, /no JSON object/],
  ['no options at all', `options => null`, /no JSON object/],
  ['no connections', `options => '{"jobs": 0}'`, /1 to 64/],
  ['half a connection', `options => '{"jobs": 1.5}'`, /1 to 64/],
  ['rows and definitions both alone', `options => '{"only": "both"}'`, /"schema" or "data"/],
  ['a schema that is not there', `schemas => array['no']`, /no schema 'no'/],
  ['our own schema', `schemas => array['backup']`, /no schema 'backup'/],
  ['a schema of Postgres', `schemas => array['pg_catalog']`, /no schema/],
  ['a null for a schema', `schemas => array[null]`, /no schema null/],
  ['no schemas', `schemas => '{}'`, /chooses nothing/],
  ['no tables', `tables => '{}'`, /chooses nothing/],
  ['tables and schemas', `tables => '{app.users}', schemas => '{app}'`, /together/],
  ['a view', `tables => array['app.adults']::regclass[]`, /app.adults is no table/],
  ['a catalog', `tables => '{pg_class}'`, /pg_class is no table/],
  ['one of our own tables', `tables => '{backup._job}'`, /backup._job is no table/],
  ['a label of two lines', `label => E'a\\nb'`, /control characters/],
  ['a pattern without schema', `options => '{"exclude": ["users"]}'`, /"users" is no pattern/],
  ['a pattern that is a number', `options => '{"exclude": [1]}'`, /1 is no pattern/],
  ['a pattern that is a regular expression', `options => '{"exclude": ["app.(a|b)"]}'`, /no pattern/],
  ['patterns that are no list', `options => '{"exclude_data": "app.users"}'`, /must be a list/],
  ['a table to leave out that is not there', `options => '{"exclude": ["app.no"]}'`, /no table app.no to leave out/],
  ['conditions that are a list', `options => '{"where": []}'`, /must be an object/],
  ['a condition that is no text', `options => '{"where": {"app.users": true}}'`, /is no text/],
  ['a condition for no table', `options => '{"where": {"app.no": "true"}}'`, /'app.no' is no table/],
  ['a condition for a table without schema', `options => '{"where": {"users": "true"}}'`, /'users' is no table/],
  [
    'a condition for a table that is not dumped',
    `tables => '{app.log}', options => '{"where": {"app.users": "true"}}'`,
    /not dumped/,
  ],
  ['a condition on no column', `options => '{"where": {"app.users": "agee > 1"}}'`, /column "agee" does not exist/],
  ['a condition that is no truth', `options => '{"where": {"app.users": "born"}}'`, /cannot cast type date to boolean/],
  ['a condition that fails', `options => '{"where": {"app.users": "1 / (age - 30) > 0"}}'`, /division by zero/],
  ['a condition of many rows', `options => '{"where": {"app.users": "count(*) > 1"}}'`, /aggregate/],
  ['two statements', `options => '{"where": {"app.users": "true); drop table app.users; --"}}'`, /semicolon/],
  ['masks where there are none', `options => '{"masked": true}'`, /no column is masked/],
  ['masks that are no switch', `options => '{"masked": 1}'`, /masked must be true or false/],
  ['conditions without rows', `options => '{"only": "schema", "where": {"app.users": "true"}}'`, /without rows/],
]

describe.each(postgresVersions)('dumps on Postgres %i', (version) => {
  const catalog = installedServer(version)
  const queue = (args: string, user = 'olga') => catalog.value<string>(`select backup.start_dump(${args})`, [], user)
  const target = (jobId: string) =>
    catalog.value<Record<string, unknown>>('select target from backup._job where job_id = $1', [jobId])

  beforeAll(async () => {
    await catalog.rows(`create schema app;
      create table app.users (id int primary key, age int, email varchar(20) not null, born date, twice int generated always as (age * 2) stored);
      insert into app.users values (1, 30, 'a@example.org', null), (2, null, 'b@example.org', null);
      create view app.adults as select * from app.users;
      create table app.log (at date) partition by range (at);
      create table app.log_2026 partition of app.log for values from ('2026-01-01') to ('2027-01-01');
      create table app."Odd.Name" (n int); create table app.heir () inherits (app.users);
      grant usage on schema app to olga, walt; grant select on app.users, app.log to olga`)
  })
  beforeEach(async () => {
    await catalog.rows('delete from backup._job; delete from backup._mask')
  })

  test.each(refusals)('%s is refused before it is queued', async (_what, args, reason) => {
    const { code, message, hint } = await catalog.error(`select backup.start_dump(${args})`, [], 'olga')
    expect({ code, message }).toEqual({ code: 'PB001', message: expect.stringMatching(reason) as string })
    expect(hint).toBeTruthy()
    expect(await catalog.rows('select from backup._job')).toEqual([])
  })

  test('a condition is tried with the rights of who asks, and holds for partitions too', async () => {
    const where = `options => '{"where": {"app.log": "at > now() - interval ''1 day''"}}'`
    const partition = await catalog.value<string>(`select 'app.log_2026'::regclass::oid::bigint`)
    expect(await target(await queue(where))).toMatchObject({
      where: { [partition]: `at > now() - interval '1 day'` },
      by_superuser: false,
    })
    expect(await target(await queue(where, 'postgres'))).toMatchObject({ by_superuser: true })
    const { message } = await catalog.error(
      `select backup.start_dump(options => '{"where": {"app.\\"Odd.Name\\"": "true"}}')`,
      [],
      'olga',
    )
    expect(message).toMatch(/permission denied/)
  })

  test('patterns choose what they say, and partitions and heirs with it', async () => {
    const matching = (pattern: string) =>
      catalog.value<string[]>(
        `select array(select m.relation::regclass::text from backup._matching(array[$1]) m order by 1)`,
        [pattern],
      )
    expect(await matching('app.log')).toEqual(['app.log', 'app.log_2026'])
    expect(await matching('*.log_????')).toEqual(['app.log_2026'])
    expect(await matching('app.log?')).toEqual([])
    expect(await matching('app."Odd.Name"')).toEqual(['app."Odd.Name"'])
    expect(await matching('app."Odd_Name"')).toEqual([])
    expect(await matching('app.users')).toEqual(['app.heir', 'app.users'])
    expect(await matching('backup.*')).toEqual([])
    const rows = async (args: string) =>
      catalog.value<string[]>(
        `select array(select s.relation::regclass::text from backup._dump_selection($1) s order by 1)`,
        [await target(await queue(args))],
      )
    expect(await rows('')).toEqual(['app."Odd.Name"', 'app.heir', 'app.log_2026', 'app.users'])
    expect(await rows(`'{app.log}'`)).toEqual(['app.log_2026'])
    expect(await rows(`options => '{"exclude": ["app.log"], "exclude_data": ["app.\\"Odd.Name\\""]}'`)).toEqual([
      'app.heir',
      'app.users',
    ])
    expect(await rows(`options => '{"only": "schema"}'`)).toEqual([])
  })

  test('what the worker that is there may not read is refused at once', async () => {
    const worker = await (await catalog.server()).connect({ user: 'walt' })
    await worker.query('select pg_advisory_lock(backup._worker_lock_key())')
    const problem = async (args = '') => (await catalog.error(`select backup.start_dump(${args})`, [], 'olga')).message
    expect(await problem(`'{app.users}'`)).toMatch(/walt, may not select from app.(users|heir)/)
    await catalog.rows(
      'grant select on all tables in schema app to walt; alter table app.users enable row level security',
    )
    expect(await problem()).toMatch(/row-level security hides rows of app.users from the worker, walt/)
    await queue(`options => '{"row_security": true}'`)
    await queue(`options => '{"exclude_data": ["app.users"]}'`)
    await catalog.rows('alter role walt bypassrls')
    await queue('')
    await catalog.rows('alter table app.users disable row level security; alter role walt nobypassrls')
    await worker.end()
  })
})
