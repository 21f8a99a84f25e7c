import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { clientPrograms } from '../sandbox/client/programs.js'
import { postbox } from '../sandbox/command.js'

const bin = await clientPrograms()

const SCHEMA = `
  create table rates (name text primary key, rate int); insert into rates values ('one', 1), ('two', 2);
  create function rate_of(name text) returns int immutable language sql as 'select rate from public.rates r where r.name = $1';
  create table sales (n int, rate text);
  insert into sales select n, case when n % 2 = 0 then 'two' else 'one' end from generate_series(1, 20000) n;
  create index sales_rate on sales (rate_of(rate)); alter table sales add foreign key (rate) references rates;
  create materialized view totals as select rate, count(*)::int as sales from sales group by rate;
  create table tree (id int primary key, parent int references tree, filler text default repeat('x', 100));
  insert into tree select n, nullif(n + 1, 20001) from generate_series(1, 20000) n;
  create table days (day int primary key) partition by range (day);
  create table days_1 partition of days for values from (0) to (10); create table days_2 partition of days default;
  insert into days select generate_series(1, 20);
  create table visits (day int references days, who text default repeat('x', 200)) partition by range (day);
  create table visits_1 partition of visits for values from (0) to (15); create table visits_2 partition of visits default;
  insert into visits select n % 20 + 1 from generate_series(1, 1000) n;`

/** What the rows of a dump need beside themselves. */
describe.skipIf(bin === null)('rows of a dump', () => {
  let backedUp: BackedUpServer
  const query = (sql: string, database = 'postgres') => backedUp.postgres.query(sql, [], { database })
  const restore = async (database: string, ...args: string[]) => {
    const url = ['--database-url', backedUp.postgres.url({ database })]
    const line = ['restore-dump', '--server', 'db1', ...url, '--json', ...args]
    const { code, stdout, stderr } = await postbox(line, backedUp.keyholderEnv)
    if (code === 0) return JSON.parse(stdout) as { rows: number; tables: number; notes: string[] }
    return (JSON.parse(stderr) as { error: { code: string; message: string; hint: string } }).error
  }
  const dump = async (args = '') => {
    const [row] = await backedUp.postgres.query<{ id: string }>(`select backup.start_dump(${args}) id`)
    expect(await backedUp.ended(BigInt(row!.id))).toMatchObject({ state: 'done' })
    const [dumped] = await backedUp.postgres.query<{ dump_id: string }>(
      'select dump_id from backup.dumps where job_id = $1',
      [row!.id],
    )
    return dumped!.dump_id
  }

  beforeAll(async () => {
    backedUp = await BackedUpServer.start({ workerEnv: { PATH: `${bin!}:/usr/bin:/bin` } })
    await query('grant pg_read_all_data to postbox_worker')
    await query(SCHEMA)
    await query("select backup.configure('dump_split_bytes', '1MB')")
    await dump()
  })
  afterAll(async () => {
    await backedUp?.remove()
  })

  test('are all there when an index is built whose function reads another table', async () => {
    expect(await restore('indexed', '--create', '--jobs', '1')).toMatchObject({ notes: [] })
    const client = await backedUp.postgres.connect({ database: 'indexed' })
    await client.query('set enable_seqscan = off; set enable_bitmapscan = off')
    const sql = 'select count(*)::int as sales from sales where rate_of(rate) = 2'
    const { rows: plan } = await client.query(`explain (costs off) ${sql}`)
    expect(JSON.stringify(plan)).toContain('sales_rate')
    expect((await client.query(sql)).rows).toEqual([{ sales: 10000 }])
    await client.end()
  })

  test('alone, or definitions alone, are not taken for what a dump does not hold', async () => {
    const rows = await dump(`'{rates}', options => '{"only": "data"}'`)
    const definitions = await dump(`'{rates}', options => '{"only": "schema"}'`)
    expect(await restore('kinds', '--create', '--dump', definitions)).toMatchObject({ tables: 0 })
    await query("insert into rates values ('mine', 7)", 'kinds')
    const refused = { code: 'bad_argument', message: `dump ${rows} holds rows alone`, hint: 'Say --data-only.' }
    expect(await restore('kinds', '--dump', rows, '--clean', '--if-exists')).toMatchObject(refused)
    expect(await restore('kinds', '--dump', rows, '--schema-only')).toMatchObject(refused)
    expect(await restore('kinds', '--dump', definitions, '--data-only')).toMatchObject({
      code: 'bad_argument',
      message: `dump ${definitions} holds definitions alone`,
    })
    expect(await query('select count(*)::int as n from rates', 'kinds')).toEqual([{ n: 1 }])
    expect(await restore('kinds', '--dump', rows, '--data-only')).toMatchObject({ tables: 1, rows: 2 })
    expect(await query('select count(*)::int as n from rates', 'kinds')).toEqual([{ n: 3 }])
  })

  const totals = 'select * from totals order by rate'
  const isFilled = async (database: string) =>
    (await query("select relispopulated as filled from pg_class where relname = 'totals'", database))[0]!.filled

  test('come after those that they refer to, into tables with their foreign keys', async () => {
    expect(await restore('halves', '--create', '--schema-only')).toMatchObject({ notes: [] })
    expect(await isFilled('halves')).toBe(false)
    expect(await restore('halves', '--data-only', '--jobs', '3')).toMatchObject({ tables: 7, notes: [] })
    expect(await query(totals, 'halves')).toEqual(await query(totals))
    const counts = `select (select count(*) from tree) + (select count(*) from visits) as rows`
    expect(await query(counts, 'halves')).toEqual(await query(counts))
  })

  test('that refer to each other in a circle need --disable-triggers, and the error says so', async () => {
    await query(`create table egg (id int primary key, hen int); create table hen (id int primary key, egg int references egg);
      alter table egg add foreign key (hen) references hen; insert into egg values (1, null); insert into hen values (1, 1);
      update egg set hen = 1`)
    const circle = await dump(`'{egg,hen}'`)
    await restore('circle', '--create', '--dump', circle, '--schema-only')
    expect(await restore('circle', '--dump', circle, '--data-only')).toMatchObject({
      code: 'restore_failed',
      message: expect.stringContaining('violates foreign key constraint') as string,
      hint: expect.stringMatching(/in a circle.*--disable-triggers/) as string,
    })
    expect(await restore('circle', '--dump', circle, '--data-only', '--tables', 'hen')).toMatchObject({
      hint: expect.stringMatching(/^Restore the rows that it refers to/) as string,
    })
    expect(await restore('circle', '--dump', circle, '--data-only', '--disable-triggers')).toMatchObject({ rows: 2 })
    await query('drop table egg, hen')
  })

  test('of a dump of rows alone fill materialized views too, but not one whose contents were left out', async () => {
    const rows = await dump(`options => '{"only": "data"}'`)
    await restore('filled', '--create', '--schema-only')
    expect(await restore('filled', '--dump', rows, '--data-only')).toMatchObject({ notes: [] })
    expect(await query(totals, 'filled')).toEqual(await query(totals))
    const without = await dump(`options => '{"exclude_data": ["public.totals"]}'`)
    expect(await restore('unfilled', '--create', '--dump', without)).toMatchObject({ notes: [] })
    expect(await isFilled('unfilled')).toBe(false)
  })

  test('of a partition come into that partition, though a masked one’s would else go through the whole', async () => {
    await query(`select backup.mask('public.visits.who', '''nobody''')`)
    const masked = await dump(`'{visits}', options => '{"masked": true}'`)
    await restore('live', '--create')
    await query('drop table visits_1', 'live')
    const count = async (table: string) => (await query(`select count(*)::int as rows from ${table}`, 'live'))[0]
    const before = await count('visits')
    const part = ['--dump', masked, '--masked', '--tables', 'visits_1']
    expect(await restore('live', ...part)).toMatchObject({ tables: 1, rows: 700 })
    expect(await count('visits')).toEqual(before)
    expect(await count("visits_1 where who = 'nobody'")).toEqual({ rows: 700 })
    await query('truncate visits_1', 'live')
    expect(await restore('live', ...part, '--data-only')).toMatchObject({ tables: 1, rows: 700 })
    expect([await count('visits'), await count('visits_1')]).toEqual([before, { rows: 700 }])
  })

  test('and definitions come into the default tablespace, where theirs is not there and that is said', async () => {
    await query('alter system set allow_in_place_tablespaces = on')
    await query('select pg_reload_conf()')
    await query("create tablespace quick location ''")
    await query('create table fast (n int primary key using index tablespace quick) tablespace quick')
    const fast = await dump(`'{fast}'`)
    await query('alter tablespace quick rename to other')
    expect(await restore('spaces', '--create', '--dump', fast)).toMatchObject({
      code: 'restore_failed',
      message: expect.stringMatching(/default_tablespace.*"quick" does not exist/) as string,
      hint: expect.stringContaining('--no-tablespaces') as string,
    })
    expect(await restore('spaces', '--dump', fast, '--no-tablespaces')).toMatchObject({ tables: 1, notes: [] })
    const sql = "select count(*)::int as found from pg_class where relname ~ '^fast' and reltablespace = 0"
    expect(await query(sql, 'spaces')).toEqual([{ found: 2 }])
  })

  test('come with what pg_dump warned of when they were dumped', async () => {
    await query("create subscription news connection 'dbname=nowhere' publication p with (connect = false)")
    const part = await dump('')
    expect(await restore('warned', '--create', '--dump', part, '--schema-only', '--no-tablespaces')).toMatchObject({
      notes: [
        'pg_dump warned when the dump was taken: subscriptions not dumped because current user is not a superuser',
      ],
    })
  })
})
