import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseDumpManifest } from '../../src/box/dump-manifest.js'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { clientPrograms } from '../sandbox/client/programs.js'
import { scratchDir } from '../sandbox/postgres.js'
import { run } from '../sandbox/run.js'
import { until } from '../sandbox/until.js'

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
  create table big (id serial primary key, t text, f float8, d date, r int4range, v numeric[]);
  insert into big (t, f, d, r, v) select repeat(md5(n::text), 20), case n % 3 when 0 then 'nan'::float8 else 'infinity' end,
    '-infinity'::date, int4range(n, n + 5), array[n, null, 1e100] from generate_series(1, 8000) n;
  insert into big (t) select string_agg(md5(n::text), '') from generate_series(1, 30000) n;
  create table parent (n int, k text) partition by list (k);
  create table child_a partition of parent for values in ('a'); create table child_b partition of parent default;
  insert into parent values (1, 'a'), (2, 'b');
  create table base (n int); create table heir (m int) inherits (base); insert into base values (1); insert into heir values (2, 3);
  create table x (id int primary key); create table y (id int primary key references x); alter table x add foreign key (id) references y;
  create materialized view mv as select count(*) n from big; create materialized view mv2 as select n + 1 n from mv;
  create publication pub for table big; comment on table big is 'it''s big'; grant select on big to public;
  select lo_from_bytea(4711, '\\x00ff10'); select nextval('big_id_seq');`

describe.skipIf(bin === null).each([15, 18] as const)('a dump of Postgres %i', (version) => {
  let backedUp: BackedUpServer
  let home: string

  beforeAll(async () => {
    home = await scratchDir('dump')
    backedUp = await BackedUpServer.start({ version, workerEnv: { PATH: `${bin!}:/usr/bin:/bin` } })
    const { postgres } = backedUp
    await postgres.query('alter role postbox_worker noreplication')
    await postgres.query('grant pg_read_all_data to postbox_worker')
    await postgres.query(SCHEMA)
    await postgres.query('grant select on large object 4711 to postbox_worker')
    await postgres.query("select backup.configure('dump_split_bytes', '1MB')")
    await backedUp.worker.kill9()
    backedUp.startWorker({ PATH: `${bin!}:/usr/bin:/bin` })
  })
  afterAll(async () => {
    await backedUp.remove()
  })

  const start = async (args = '') => {
    const [row] = await backedUp.postgres.query<{ id: string }>(`select backup.start_dump(${args}) id`)
    return BigInt(row!.id)
  }
  const manifests = () => backedUp.bucket.keys().filter((key) => /\/dump\/.*manifest/.test(key))
  const psql = (args: string[]) =>
    run(join(bin!, 'psql'), [
      '-qX',
      '-v',
      'ON_ERROR_STOP=1',
      '-d',
      backedUp.postgres.url({ database: 'copy' }),
      ...args,
    ])

  test('comes back by zstd and psql alone, and pg_dump sees no difference; no REPLICATION right is needed', async () => {
    const job = await backedUp.ended(await start())
    expect({ ...job, log: job.state === 'done' ? '' : backedUp.worker.log }).toMatchObject({ state: 'done' })
    const manifest = parseDumpManifest('the manifest', backedUp.bucket.get(manifests()[0]!))
    expect(manifest.warnings.filter((line) => !/circular|hint|detail|restore|consider|x|y/i.test(line))).toEqual([])
    expect(manifest.tables.find(({ name }) => name === 'big')!.slices.length).toBeGreaterThan(2)
    expect(manifest.tables.find(({ name }) => name === 'nothing')!.rows).toBe(2)

    await backedUp.postgres.query('create database copy')
    const join1 = async (parts: { key: string }[], name: string) => {
      const file = join(home, name)
      await writeFile(`${file}.zst`, Buffer.concat(parts.map(({ key }) => backedUp.bucket.get(key))))
      await run('zstd', ['-dqf', `${file}.zst`, '-o', file])
      return file
    }
    await psql(['-f', await join1(manifest.sections['pre-data'], 'pre.sql')])
    for (const { schema, name, columns, slices } of manifest.tables) {
      const ident = (text: string) => `"${text.replaceAll('"', '""')}"`
      const list = columns.length === 0 ? '' : `(${columns.map(ident).join(', ')})`
      for (const { parts } of slices.filter((slice) => slice.parts.length > 0)) {
        const file = await join1(parts, 'rows')
        const statement = `copy ${ident(schema)}.${ident(name)} ${list} from stdin`
        await run('sh', [
          '-c',
          'exec "$1" -qX -v ON_ERROR_STOP=1 -d "$2" -c "$3" < "$4"',
          'sh',
          join(bin!, 'psql'),
          backedUp.postgres.url({ database: 'copy' }),
          statement,
          file,
        ])
      }
    }
    await psql(['-f', await join1(manifest.sections.data, 'data.sql')])
    await psql(['-f', await join1(manifest.sections['post-data'], 'post.sql')])

    const text = async (database: string) => {
      const args = ['-N', 'backup', '-d', backedUp.postgres.url({ database })]
      return (await run(join(bin!, 'pg_dump'), args)).replace(/^\\(un)?restrict .*$/gm, '')
    }
    expect(await text('copy')).toBe(await text('postgres'))
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

  test('is refused before it is queued when it cannot be made', async () => {
    for (const args of [`options => '{"job": 1}'`, `options => '{"jobs": 0}'`, `schemas => array['no']`]) {
      await expect(start(args)).rejects.toMatchObject({ code: 'PB001' })
    }
  })
})
