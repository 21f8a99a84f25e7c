import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseDumpManifest } from '../../src/box/dump-manifest.js'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { copyOfDump, type DumpCopyDatabase } from '../sandbox/client/plain-dump.js'
import { clientPrograms } from '../sandbox/client/programs.js'
import { until } from '../sandbox/until.js'

const bin = await clientPrograms()

const SCHEMA = `
  create role app_owner; create role app_reader;
  create schema "we ird "".é
x";
  create table "we ird "".é
x"."t able %" (a int generated always as identity, "B ""c" text, twice int generated always as (a * 2) stored, gone int);
  alter table "we ird "".é
x"."t able %" drop column gone;
  insert into "we ird "".é
x"."t able %" ("B ""c") values (null), (''), (E'a\\tb\\nc\\\\\\r'), ('é'), ('\\.');
  create table nothing (); insert into nothing default values; insert into nothing default values;
  create table empty (n numeric);
  create table big (id serial primary key, t text, f float8, d date, r int4range, v numeric[]);
  insert into big (t, f, d, r, v) select repeat(md5(n::text), 20), case n % 3 when 0 then 'nan'::float8 else 'infinity' end,
    '-infinity'::date, int4range(n, n + 5), array[n, null, 1e100] from generate_series(1, 8000) n;
  insert into big (t) select string_agg(md5(n::text), '') from generate_series(1, 30000) n;
  create table parent (n int, k text) partition by list (k);
  create table child_a partition of parent for values in ('a'); create table child_b partition of parent default;
  insert into parent values (1, 'a'), (2, 'b');
  create table base (n int); create table heir (m int) inherits (base); insert into base values (1); insert into heir values (2, 3);
  create table x (id int primary key); create table y (id int primary key references x); alter table x add foreign key (id) references y;
  create type mood as enum ('sad', 'ok'); create domain positive as int check (value > 0); create type pair as (a int, b mood);
  create table typed (m mood default 'ok', p positive, q pair, u uuid, j jsonb, b bytea, i interval, ts timestamptz);
  insert into typed values ('sad', 7, row(1, 'ok'), gen_random_uuid(), '{"a": "é\\n"}', '\\x00ff5c0a', '-1 year 2 days', 'infinity');
  create unlogged table quick (n int); insert into quick values (1);
  create foreign data wrapper wrapper; create server far foreign data wrapper wrapper; create foreign table ft (n int) server far;
  create materialized view mv as select count(*) n from big; create materialized view mv2 as select n + 1 n from mv;
  create view v as select id from big; create function f(a int) returns int language sql as 'select a + 1';
  create index on big (d); create statistics st on d, f from big; create trigger tr before insert on x for each row execute function
    suppress_redundant_updates_trigger(); alter table x disable trigger tr; create rule ru as on insert to empty do instead nothing;
  create publication pub for table big where (id > 5); create subscription sub connection '' publication pub with (connect = false, slot_name = none);
  comment on table big is 'it''s big'; comment on column big.t is 'text'; grant select on big to public; grant update (t) on big to app_reader;
  alter default privileges in schema public grant select on tables to app_reader; alter table x owner to app_owner;
  alter table y enable row level security; create policy p on y for select to app_reader using (id > 0); create sequence s increment 5 cycle;
  select lo_from_bytea(4711, '\\x00ff10'); comment on large object 4711 is 'large'; select nextval('big_id_seq'), nextval('s'), nextval('s')`

describe.skipIf(bin === null).each([15, 18] as const)('a dump of Postgres %i', (version) => {
  let backedUp: BackedUpServer
  let copy: DumpCopyDatabase | undefined

  beforeAll(async () => {
    backedUp = await BackedUpServer.start({ version, workerEnv: { PATH: `${bin!}:/usr/bin:/bin` } })
    const { postgres } = backedUp
    // As in a managed service: no replication, no superuser.
    await postgres.query('alter role postbox_worker noreplication bypassrls')
    await postgres.query(`select backup.configure('stream_wal', 'off'), backup.configure('base_max_age', '1 day')`)
    await postgres.query('grant pg_read_all_data to postbox_worker')
    await postgres.query(SCHEMA)
    await postgres.query('grant select on large object 4711 to postbox_worker')
    await postgres.query("select backup.configure('dump_split_bytes', '1MB')")
    await backedUp.worker.stop()
    await postgres.query('select pg_drop_replication_slot(slot_name) from pg_replication_slots')
    backedUp.startWorker({ PATH: `${bin!}:/usr/bin:/bin` })
  })
  afterAll(async () => {
    await copy?.remove()
    await backedUp.remove()
  })

  const start = async (args = '') => {
    const [row] = await backedUp.postgres.query<{ id: string }>(`select backup.start_dump(${args}) id`)
    return BigInt(row!.id)
  }
  const manifests = () => backedUp.bucket.keys().filter((key) => /\/dump\/.*manifest/.test(key))

  test('comes back by zstd and psql alone, and pg_dump sees no difference; no REPLICATION right is needed', async () => {
    const job = await backedUp.ended(await start())
    expect({ ...job, log: job.state === 'done' ? '' : backedUp.worker.log }).toMatchObject({ state: 'done' })
    const manifest = parseDumpManifest('the manifest', backedUp.bucket.get(manifests()[0]!))
    expect(manifest).toMatchObject({ whole: true, masked: false, database: 'postgres', encoding: 'UTF8', timeline: 1 })
    expect(manifest.warnings.join('\n')).toMatch(/subscriptions not dumped because current user is not a superuser/)
    const table = (wanted: string) => manifest.tables.find(({ name }) => name === wanted)!
    expect(table('big').slices.length).toBeGreaterThan(2)
    expect(table('big').rows).toBe(8001)
    expect(table('nothing').rows).toBe(2)
    expect(table('t able %').columns).toEqual(['a', 'B "c'])

    copy = await copyOfDump(backedUp, bin!, 'copy')
    await copy.load(manifest)
    expect(await copy.pgDump('copy', ['--no-subscriptions'])).toBe(
      await copy.pgDump('postgres', ['--no-subscriptions']),
    )
    const [row] = await backedUp.postgres.query('select * from backup.dumps')
    expect(row).toMatchObject({
      whole: true,
      masked: false,
      manifest_key: manifests()[0],
      table_rows: String(manifest.tables.reduce((sum, { rows }) => sum + rows, 0)),
      snapshot_lsn: manifest.snapshot_lsn,
      warnings: manifest.warnings,
    })
  })

  test('of a server whose WAL is not wanted is all that the checks ask for, and the worker finds nothing wrong', async () => {
    const states = () => backedUp.postgres.query<{ name: string }>("select * from backup.checks where state <> 'ok'")
    await until('all is well', async () => (await states()).length === 0)
    expect(await backedUp.postgres.query("select state, message from backup.checks where name = 'wal_delay'")).toEqual([
      { state: 'ok', message: 'WAL is not stored: the setting stream_wal is off' },
    ])
    expect(backedUp.worker.log).not.toMatch(/"level":"(warn|error)"(?!.*subscriptions)/)
    await expect(backedUp.postgres.query('select backup.start_base()')).rejects.toMatchObject({
      code: 'PB001',
      message: 'a base backup needs WAL, and the setting stream_wal is off',
    })
  })

  test('is not all any more once WAL is wanted, and again when it is not', async () => {
    const { postgres } = backedUp
    const wal = (on: string) => postgres.query(`select backup.configure('stream_wal', $1)`, [on])
    const slot = async () => (await postgres.query<{ active: boolean }>('select active from pg_replication_slots'))[0]
    await postgres.query('alter role postbox_worker replication')
    await wal('on')
    await until('WAL is streamed', async () => (await slot())?.active === true)
    await postgres.query('select backup.start_base()')
    await until('the backup is done', async () => (await postgres.query('select from backup.base_backups')).length > 0)
    await wal('off')
    await until('it is not', async () => (await slot())?.active === false)
    const check = async () => (await postgres.query("select state, hint from backup.checks where name = 'slot'"))[0]
    expect(await check()).toMatchObject({ state: 'warn', hint: expect.stringContaining('pg_drop_replication_slot') })
    await postgres.query(`select pg_drop_replication_slot('postbox')`)
    expect(await check()).toMatchObject({ state: 'ok' })
    await postgres.query(`alter system set synchronous_standby_names = 'postbox'`)
    await postgres.query('select pg_reload_conf()')
    await until('COMMITs would wait', async () => (await check())?.state === 'crit')
    await postgres.query('alter system reset synchronous_standby_names')
    await postgres.query('select pg_reload_conf()')
  })

  test('that is canceled lets go of its snapshot and commits nothing', async () => {
    const before = manifests()
    const locker = await backedUp.postgres.connect()
    await locker.query('begin; lock table big in access exclusive mode')
    const jobId = await start("array['big']::regclass[]")
    const sessions = async () =>
      backedUp.postgres.query("select from pg_stat_activity where application_name like 'postbox dump %'")
    await until('the dump waits', async () => (await sessions()).length > 0)
    await backedUp.postgres.query('select backup.cancel($1)', [jobId.toString()])
    expect(await backedUp.ended(jobId)).toMatchObject({ state: 'canceled' })
    await until('its sessions are gone', async () => (await sessions()).length === 0)
    await locker.end()
    expect(manifests()).toEqual(before)
  })
})
