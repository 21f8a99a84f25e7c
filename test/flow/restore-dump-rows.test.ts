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
  create index sales_rate on sales (rate_of(rate));`

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
})
