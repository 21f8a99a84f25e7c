import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseDumpManifest, type DumpManifest } from '../../src/box/dump-manifest.js'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { clientPrograms } from '../sandbox/client/programs.js'
import { copyOfDump, type DumpCopyDatabase } from '../sandbox/client/plain-dump.js'

const bin = await clientPrograms()

const SCHEMA = `
  create schema app; create schema other; create type app.mood as enum ('sad', 'ok');
  create table app.users (id int generated always as identity primary key, email varchar(40) not null, mood app.mood,
    length int generated always as (char_length(email)) stored);
  insert into app.users (email, mood) select 'user' || n || '@example.org', 'ok' from generate_series(1, 1000) n;
  create table app.visits (at date not null, who text) partition by range (at);
  create table app.visits_old partition of app.visits default;
  create table app.visits_2026 partition of app.visits for values from ('2026-01-01') to ('2027-01-01');
  insert into app.visits values ('2025-05-05', 'ann'), ('2026-05-05', 'bob'), ('2026-06-06', 'cid');
  create table app.moods (m app.mood) partition by hash (m);
  create table app.moods_0 partition of app.moods for values with (modulus 2, remainder 0);
  create table app.moods_1 partition of app.moods for values with (modulus 2, remainder 1);
  insert into app.moods values ('sad'), ('ok');
  create table app.log (n int); insert into app.log values (1); create table app.log_2 (n int); create table other.log (n int);
  create sequence other.s; select setval('other.s', 17);
  create materialized view app.counts as select count(*) from app.users;
  create table app.secret (owner text, n int); insert into app.secret values ('postgres', 1), ('postbox_worker', 2);
  alter table app.secret enable row level security; create policy p on app.secret using (owner = current_user);
  select lo_from_bytea(4711, 'a secret')`

describe.skipIf(bin === null)('a dump of a part', () => {
  let backedUp: BackedUpServer
  let copies = 0
  const opened: DumpCopyDatabase[] = []

  beforeAll(async () => {
    backedUp = await BackedUpServer.start({ workerEnv: { PATH: `${bin!}:/usr/bin:/bin` } })
    const { postgres } = backedUp
    await postgres.query('grant pg_read_all_data to postbox_worker')
    await postgres.query(SCHEMA)
    await postgres.query('grant select on large object 4711 to postbox_worker')
  })
  afterAll(async () => {
    for (const copy of opened) await copy.remove()
    await backedUp.remove()
  })

  const ended = async (args: string) => {
    const [row] = await backedUp.postgres.query<{ id: string }>(`select backup.start_dump(${args}) id`)
    return backedUp.ended(BigInt(row!.id))
  }
  /** A dump, which names the one before it, and what its row says. */
  const dump = async (args: string) => {
    const [before] = await backedUp.postgres.query<{ manifest_key: string }>(
      'select manifest_key from backup.dumps order by finished_at desc limit 1',
    )
    const job = await ended(args)
    expect(job).toMatchObject({ state: 'done' })
    const [row] = await backedUp.postgres.query<{ manifest_key: string; whole: boolean; masked: boolean }>(
      'select * from backup.dumps where job_id = $1',
      [job.job_id],
    )
    const { manifest_key: key } = row!
    const manifest = parseDumpManifest(key, backedUp.bucket.get(key))
    expect(manifest.previous_manifest).toBe(before?.manifest_key ?? null)
    return { ...row!, manifest }
  }
  const restored = async (manifest: DumpManifest, into?: DumpCopyDatabase) => {
    const copy = into ?? (await copyOfDump(backedUp, bin!, `copy${++copies}`))
    if (!into) opened.push(copy)
    await copy.load(manifest)
    return copy
  }
  const tables = ({ tables: dumped }: DumpManifest) => dumped.map(({ schema, name }) => `${schema}.${name}`).sort()
  const open = `"exclude_data": ["app.secret"]`

  test('row-level security that hides rows refuses a dump, unless that is wanted', async () => {
    expect(await backedUp.postgres.query('select backup.start_dump()').catch((error: unknown) => error)).toMatchObject({
      code: 'PB001',
      message: 'row-level security hides rows of app.secret from the worker, postbox_worker',
    })
    const { manifest, whole } = await dump(`'{app.secret}', options => '{"row_security": true}'`)
    expect({ whole, rows: manifest.tables[0]!.rows }).toEqual({ whole: false, rows: 1 })
    expect(manifest.chosen).toMatchObject({ row_security: true, tables: [{ schema: 'app', name: 'secret' }] })
  })

  test('that leaves tables out by patterns, or their rows alone, restores without them', async () => {
    const { manifest, whole } = await dump(`options => '{"exclude": ["*.log*"], ${open}}'`)
    expect(whole).toBe(false)
    expect(tables(manifest)).toEqual(
      ['moods_0', 'moods_1', 'users', 'visits_2026', 'visits_old'].map((name) => `app.${name}`),
    )
    const copy = await restored(manifest)
    expect(
      await copy.value(`select array_agg(relname::text order by relname) from pg_class where relkind = 'r' and relname ~ 'log|secret'
      and relnamespace::regnamespace::text in ('app', 'other')`),
    ).toEqual(['secret'])
    expect(
      await copy.value('select (select count(*) from app.users)::int + (select count(*) from app.secret)::int'),
    ).toBe(1000)
    expect(await copy.value('select nextval($1)::int', ['other.s'])).toBe(18)
    expect(await copy.value('select count::int from app.counts')).toBe(1000)
    // An enum's values have other oids here, so that its hash partitions are filled through the whole.
    expect(manifest.tables.find(({ name }) => name === 'moods_0')!.copy_into).toEqual({ schema: 'app', name: 'moods' })
    expect(await copy.value(`select array_agg(m::text order by m) from app.moods`)).toEqual(['sad', 'ok'])
  })

  test('that has everything comes back by the commands of the note in the bucket', async () => {
    await backedUp.postgres.query('alter role postbox_worker bypassrls')
    const { manifest, whole } = await dump('')
    await backedUp.postgres.query('alter role postbox_worker nobypassrls')
    expect(whole).toBe(true)
    const copy = await copyOfDump(backedUp, bin!, `copy${++copies}`)
    opened.push(copy)
    await copy.loadByNote(manifest)
    // Which of the partitions holds an enum's value is decided by its oid, which is another.
    const alike = ['--exclude-table-data=app.moods_*']
    expect(await copy.pgDump(copy.database, alike)).toBe(await copy.pgDump('postgres', alike))
    expect(await copy.value('select array_agg(m::text order by m) from app.moods')).toEqual(['sad', 'ok'])
  })

  test('of definitions alone and one of contents alone are together the whole', async () => {
    const schema = await dump(`options => '{"only": "schema"}'`)
    expect(schema.manifest).toMatchObject({ whole: false, tables: [], sections: { data: [] } })
    const copy = await restored(schema.manifest)
    expect(await copy.value('select relispopulated from pg_class where relname = $1', ['counts'])).toBe(false)
    const data = await dump(`options => '{"only": "data", ${open}}'`)
    expect(data.manifest).toMatchObject({ whole: false, sections: { 'pre-data': [] } })
    await restored(data.manifest, copy)
    expect(await copy.value('select count::int from app.counts')).toBe(1000)
    expect(await copy.value('select count(*)::int from app.users where length > 10')).toBe(1000)
    expect(await copy.value(`select convert_from(lo_get(4711), 'UTF8')`)).toBe('a secret')
  })

  test('of some schemas, and of some tables, holds those', async () => {
    expect(tables((await dump(`schemas => '{other}'`)).manifest)).toEqual(['other.log'])
    expect(tables((await dump(`'{app.visits,app.log}'`)).manifest)).toEqual([
      'app.log',
      'app.visits_2026',
      'app.visits_old',
    ])
  })

  test('of some rows holds those, in partitions too', async () => {
    const where = `{"app.visits": "at > date'2026-05-31' or who = 'ann'", "app.users": "id % 10 = 0"}`.replaceAll(
      "'",
      "''",
    )
    const { manifest, whole } = await dump(`options => '{"where": ${where}, ${open}}'`)
    expect(whole).toBe(false)
    const rows = Object.fromEntries(
      manifest.tables.map(({ schema, name, rows: count }) => [`${schema}.${name}`, count]),
    )
    expect(rows).toMatchObject({ 'app.users': 100, 'app.visits_2026': 1, 'app.visits_old': 1, 'app.log': 1 })
    expect(manifest.tables.find(({ name }) => name === 'visits_old')!.where).toMatch(/ann/)
  })

  test('that is masked holds nothing of what it hides, and says so', async () => {
    const mask = (column: string, expression: string | null) =>
      backedUp.postgres.query('select backup.mask($1, $2)', [column, expression])
    await mask('app.users.email', `'x' || id || '@example.org'`)
    await mask('app.visits.who', `'nobody'`)
    await mask('app.visits.at', `date'2026-01-01'`)
    const { manifest, whole, masked } = await dump(`options => '{"masked": true, ${open}}'`)
    expect({ whole, masked, said: manifest.masked }).toEqual({ whole: false, masked: true, said: true })
    const columns = manifest.tables.flatMap((table) => table.masked.map((column) => `${table.name}.${column}`)).sort()
    expect(columns).toEqual(['users.email', 'visits_2026.at', 'visits_2026.who', 'visits_old.at', 'visits_old.who'])
    const copy = await restored(manifest)
    expect(await copy.value(`select count(*)::int from app.users where email = 'x' || id || '@example.org'`)).toBe(1000)
    expect(await copy.value(`select array_agg(distinct length order by length) from app.users`)).toEqual([
      14, 15, 16, 17,
    ])
    expect(await copy.value(`select array_agg(distinct who) from app.visits`)).toEqual(['nobody'])
    expect(await copy.value(`select count(*)::int from app.visits_2026`)).toBe(3)
    expect(await copy.value('select count(*)::int from pg_largeobject_metadata')).toBe(0)
    // Without the option the same masks change nothing.
    expect(await dump(`options => '{${open}}'`)).toMatchObject({ masked: false, manifest: { masked: false } })
  })

  test('that is masked fails when a masked column is there no more', async () => {
    await backedUp.postgres.query('alter table app.users rename column email to mail')
    await expect(ended(`options => '{"masked": true, ${open}}'`)).rejects.toMatchObject({
      code: 'PB001',
      message: 'the mask of app.users.email finds no column',
    })
    await backedUp.postgres.query('alter table app.users rename column mail to email')
  })

  test('that meets a value which its mask cannot take fails with the name of the table', async () => {
    await backedUp.postgres.query(`select backup.mask('app.log.n', '1 / (n - 7)')`)
    await backedUp.postgres.query('insert into app.log values (7)')
    expect(await ended(`options => '{"masked": true, ${open}}'`)).toMatchObject({
      error_code: 'dump_refused',
      error_message: 'table app.log could not be dumped: division by zero',
      attempts: 1,
    })
  })

  test('by a worker that is a superuser takes expressions from superusers alone', async () => {
    const { postgres } = backedUp
    await postgres.query(`create role olga login in role backup_operator; grant usage on schema app to olga;
      grant select on app.users to olga; alter role postbox_worker superuser`)
    const refused = { state: 'failed', attempts: 1, error_code: 'dump_refused' }
    const where = `'{app.users}', options => '{"where": {"app.users": "id = 1"}}'`
    const [row] = await postgres.query<{ id: string }>(`select backup.start_dump(${where}) id`, [], { user: 'olga' })
    expect(await backedUp.ended(BigInt(row!.id))).toMatchObject({
      ...refused,
      error_message: 'the worker is a superuser, and would run expressions that no superuser has set',
    })
    expect((await dump(where)).manifest.tables).toMatchObject([{ name: 'users', rows: 1 }])

    await postgres.query(`select backup.mask('app.log.n', null)`)
    const masked = `'{app.users}', options => '{"masked": true}'`
    expect(await ended(masked)).toMatchObject({ state: 'done' })
    await postgres.query(`select backup.mask('app.users.email', '''x'' || id')`, [], { user: 'olga' })
    expect(await ended(masked)).toMatchObject(refused)
  })
})
