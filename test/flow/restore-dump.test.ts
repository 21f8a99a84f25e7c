import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { databaseText, firstDifference } from '../sandbox/client/database-text.js'
import { clientPrograms } from '../sandbox/client/programs.js'
import { keyholderEnv, postbox } from '../sandbox/command.js'

const bin = await clientPrograms()

const SCHEMA = `
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
  create table big (id serial primary key, t text, v numeric[]);
  insert into big (t, v) select repeat(md5(n::text), 20), array[n, null, 1e100] from generate_series(1, 8000) n;
  create table parent (n int primary key, k text) partition by range (n);
  create table child_a partition of parent for values from (0) to (10);
  create table child_b partition of parent default;
  insert into parent values (1, 'a'), (20, 'b');
  create table line (id int primary key, big_id int references big, parent_n int references parent, note text);
  create index line_note on line (note); create index line_quick on line (parent_n) tablespace quick; create statistics line_st on id, big_id from line;
  insert into line select n, n, 1, 'note ' || n from generate_series(1, 50) n;
  create function noted() returns trigger language plpgsql as $$ begin new.note := 'by trigger;'; return new; end $$;
  create trigger noting before insert on line for each row execute function noted();
  create function later(n int) returns int language sql begin atomic select case when n > 1 then n else 1 end; end;
  create view late as select id, later(id) from line; comment on view late is 'it''s; late';
  create table x (id int primary key); create table y (id int primary key references x);
  alter table x add foreign key (id) references y deferrable;
  create materialized view mv as select count(*) n from big; create unique index on mv (n);
  create publication pub for table big; comment on table big is 'it''s big'; grant select on big to public;
  create rule r as on update to empty do instead (delete from nothing; insert into empty values (1));
  create policy p on big using (id > 0);
  select lo_from_bytea(4711, '\\x00ff10'); select setval('big_id_seq', 9000);
  comment on database postgres is 'the first'; alter database postgres set work_mem = '7MB';`

/** pg_dump 18 speaks to 15 as well, and the newest server takes what the oldest gave. */
describe.skipIf(bin === null).each([15, 18] as const)('a dump of Postgres %i', (version) => {
  let backedUp: BackedUpServer
  const env = () => keyholderEnv(backedUp.s3, 'backups')
  const restore = (database: string, ...args: string[]) =>
    postbox(['restore-dump', '--server', 'db1', '--database-url', backedUp.postgres.url({ database }), ...args], env())
  const restored = async (database: string, ...args: string[]) => {
    const { code, stdout, stderr } = await restore(database, '--json', ...args)
    if (code !== 0) throw new Error(stderr)
    return JSON.parse(stdout) as { rows: number; tables: number; notes: string[] }
  }
  const difference = async (database: string, ...args: string[]) => {
    const [one, other] = await Promise.all(
      ['postgres', database].map((name) => databaseText(bin!, backedUp.postgres, name, args)),
    )
    return firstDifference(one!, other!)
  }
  const fresh = async (database: string) => {
    await backedUp.postgres.query(`create database ${database} template template0`)
    return database
  }

  beforeAll(async () => {
    const workerEnv = { PATH: `${bin!}:/usr/bin:/bin` }
    backedUp = await BackedUpServer.start({ version, workerEnv })
    const { postgres } = backedUp
    await postgres.query('grant pg_read_all_data to postbox_worker')
    await postgres.query('alter system set allow_in_place_tablespaces = on')
    await postgres.query('select pg_reload_conf()')
    await postgres.query("create tablespace quick location ''")
    await postgres.query(SCHEMA)
    await postgres.query('grant select on large object 4711 to postbox_worker')
    await postgres.query("select backup.configure('dump_split_bytes', '1MB')")
    const [row] = await postgres.query<{ id: string }>('select backup.start_dump() id')
    const job = await backedUp.ended(BigInt(row!.id))
    expect({ ...job, log: job.state === 'done' ? '' : backedUp.worker.log }).toMatchObject({ state: 'done' })
  })
  afterAll(async () => {
    await backedUp.remove()
  })

  test('comes back into a database that it makes, and pg_dump sees no difference', async () => {
    expect(await restored('whole', '--create')).toMatchObject({ tables: 9, notes: [] })
    expect(await difference('whole')).toBeNull()
    const [made] = await backedUp.postgres.query(
      `select shobj_description(d.oid, 'pg_database') as comment, s.setconfig
       from pg_database d join pg_db_role_setting s on s.setdatabase = d.oid where datname = 'whole'`,
    )
    expect(made).toEqual({ comment: 'the first', setconfig: ['work_mem=7MB'] })
  })

  test('is refused by a database that is not empty, unless it may drop what is there', async () => {
    const { code, stderr } = await restore('whole')
    expect([code, stderr]).toEqual([1, expect.stringContaining('(database_not_empty)')])
    await restored('whole', '--clean', '--if-exists', '--jobs', '2')
    expect(await difference('whole')).toBeNull()
  })

  test('drops all or nothing, and says what it missed', async () => {
    await fresh('bare')
    const { code, stderr } = await restore('bare', '--clean')
    expect([code, stderr]).toEqual([1, expect.stringContaining('does not exist')])
    expect(await restored('bare', '--clean', '--if-exists', '--jobs', '1')).toMatchObject({ tables: 9 })
    // Nobody can have seen these rows before, so that no vacuum needs to rewrite them.
    const sql =
      "select relpages > 100 as large, relallvisible > 0.9 * relpages as frozen from pg_class where relname = 'big'"
    expect(await backedUp.postgres.query(sql, [], { database: 'bare' })).toEqual([{ large: true, frozen: true }])
  })

  test('comes back table by table, with what is theirs', async () => {
    await fresh('part')
    const { notes, rows, tables } = await restored('part', '--tables', 'line,public.parent')
    expect({ rows, tables }).toEqual({ rows: 52, tables: 3 })
    expect(notes).toEqual([
      expect.stringContaining('there is no table public.big'),
      expect.stringContaining('function public.noted() does not exist'),
    ])
  })

  test('gives definitions alone, or rows alone', async () => {
    await fresh('halves')
    await restored('halves', '--schema-only')
    expect(await difference('halves', '--schema-only')).toBeNull()
    await restored('halves', '--data-only', '--disable-triggers')
    expect(await difference('halves', '--data-only')).toBeNull()
    expect(await backedUp.postgres.query('select n from mv', [], { database: 'halves' })).toEqual([{ n: '8000' }])
  })

  test('names the table and the line that fail', async () => {
    await fresh('broken')
    await restored('broken', '--schema-only')
    await backedUp.postgres.query('select 1')
    const client = await backedUp.postgres.connect({ database: 'broken' })
    await client.query('alter table line add check (id < 40)')
    await client.end()
    const { code, stderr } = await restore('broken', '--data-only', '--disable-triggers')
    expect([code, stderr]).toEqual([1, expect.stringMatching(/table public\.line, line 40: .*\(restore_failed\)/)])
  })
})
