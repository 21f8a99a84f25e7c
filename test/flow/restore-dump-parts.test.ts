import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseDumpManifest } from '../../src/box/dump-manifest.js'
import { openArchive } from '../../src/keyholder/archive.js'
import { chooseDump } from '../../src/keyholder/dumps/choose-dump.js'
import { restoreDump } from '../../src/keyholder/dumps/restore-dump.js'
import { Secret } from '../../src/secret.js'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { databaseText, firstDifference } from '../sandbox/client/database-text.js'
import { clientPrograms } from '../sandbox/client/programs.js'
import { cli, postbox } from '../sandbox/command.js'
import { cleanEnvironment } from '../sandbox/postbox.js'
import { loadRegression } from '../sandbox/regression/load-regression.js'
import { sdkClient } from '../sandbox/s3/test-grant.js'
import { until } from '../sandbox/until.js'

const bin = await clientPrograms()

const WEIRD = '"we ird "".é\nx; drop"."t able % ""; (\\.\n)"'
const REFERS = '"Upper,Case.dot"."ref,erring.table"'
const SEQUENCE = `"we ird "".é\nx; drop"."se'q "".; -- x"`

describe.skipIf(bin === null)('parts of a dump', () => {
  let backedUp: BackedUpServer
  const query = (sql: string, database = 'postgres') => backedUp.postgres.query(sql, [], { database })
  const line = (database: string, ...args: string[]) => [
    ...['restore-dump', '--server', 'db1', '--database-url', backedUp.postgres.url({ database }), '--json', ...args],
  ]
  const restore = async (database: string, ...args: string[]) => {
    const { code, stdout, stderr } = await postbox(line(database, ...args), backedUp.keyholderEnv)
    if (code === 0) return JSON.parse(stdout) as { rows: number; tables: number; notes: string[] }
    return (JSON.parse(stderr) as { error: { code: string; message: string; hint: string } }).error
  }
  const difference = async (database: string, ...args: string[]) => {
    const [one, other] = await Promise.all(
      ['postgres', database].map((name) => databaseText(bin!, backedUp.postgres, name, args)),
    )
    return firstDifference(one!, other!)
  }
  const sessions = () => query("select from pg_stat_activity where application_name = 'postbox restore-dump'")
  const dump = async () => {
    const [row] = await backedUp.postgres.query<{ id: string }>('select backup.start_dump() id')
    expect(await backedUp.ended(BigInt(row!.id))).toMatchObject({ state: 'done' })
  }

  beforeAll(async () => {
    backedUp = await BackedUpServer.start({
      workerEnv: { PATH: bin! },
      settings: { max_locks_per_transaction: '256', deadlock_timeout: '100ms' },
    })
    await query('alter role postbox_worker superuser')
    await loadRegression(backedUp.postgres)
    await query(`do $$ begin
      for n in 1..12 loop execute format('create table public.ring_%s (id int primary key, a int unique, b int)', n); end loop;
      for n in 1..12 loop for m in 1..12 loop
        execute format('create index on ring_%s (b, a) where a > %s', n, m);
        execute format('alter table ring_%s add foreign key (b) references ring_%s', n, m); end loop; end loop; end $$`)
    await dump()
  })
  afterAll(async () => {
    await backedUp.remove()
  })

  test('with the whole of it over many connections, foreign keys in circles do not stop each other', async () => {
    expect(await restore('whole', '--create', '--jobs', '8')).toMatchObject({ notes: [] })
    expect(await difference('whole', '--exclude-table-data=tables.by_enum_*')).toBeNull()
    expect(await backedUp.postgres.log()).not.toContain('deadlock')
  })

  test('with the whole of it take the place of what is there, whatever its name is', async () => {
    expect(await restore('whole', '--clean', '--jobs', '8')).toMatchObject({ notes: [] })
    // What is made anew gets the default privileges that are there, as with pg_restore.
    expect(await difference('whole', '--no-privileges', '--exclude-table-data=tables.by_enum_*')).toBeNull()
  })

  test('are tables with names that only quotes can hold, and all that is theirs', async () => {
    await query('alter default privileges revoke all on sequences from app_owner', 'whole')
    await query(`drop table ${WEIRD}, ${REFERS} cascade; drop sequence ${SEQUENCE}`, 'whole')
    expect(await restore('whole', '--tables', `${WEIRD},${REFERS}`)).toMatchObject({ tables: 2, rows: 4, notes: [] })
    expect(await difference('whole', `--table=${WEIRD}`, `--table=${REFERS}`, `--table=${SEQUENCE}`)).toBeNull()
  })

  test('leave a sequence alone that others use', async () => {
    await query("drop table tables.borrowed; select setval('tables.free', 500)", 'whole')
    const note = 'sequence tables.free is left as it is, because others may use it'
    expect(await restore('whole', '--tables', 'borrowed')).toMatchObject({ notes: [note] })
    expect(await restore('whole', '--tables', 'borrowed', '--clean')).toMatchObject({ notes: [note] })
    expect(await query("select nextval('tables.free')", 'whole')).toEqual([{ nextval: '507' }])
    expect(await difference('whole', '--table=tables.borrowed')).toBeNull()
    expect(await restore('whole', '--tables', 'owner_of', '--clean')).toMatchObject({ notes: [] })
    expect(await difference('whole', '--table=tables.own_by', '--table=tables.owner_of')).toBeNull()
  })

  test('are partitioned tables with their partitions, in place of what is there', async () => {
    await query('delete from tables.refers; delete from tables.by_range; drop table tables.by_enum_1', 'whole')
    const tables = ['tables.by_range', 'tables.refers', 'tables.by_enum', 'by_hash', 'begin."table"', 'serials']
    expect(await restore('whole', '--tables', tables.join(), '--clean', '--if-exists')).toMatchObject({ notes: [] })
    const wanted = ['"begin".*', 'tables.by_*', 'tables.refers', 'tables.serials*'].map((one) => `--table=${one}`)
    expect(await difference('whole', ...wanted, '--exclude-table-data=tables.by_enum_*')).toBeNull()
  })

  test('are a partition alone, where the whole is not', async () => {
    await query('create database lone template template0')
    await query("create schema tables; create type tables.kind as enum ('one', 'two', 'three')", 'lone')
    // Which of them holds what goes by the oids of the enum.
    const [{ name }] = (await query('select tableoid::regclass::text as name from tables.by_enum limit 1')) as [
      { name: string },
    ]
    expect(await restore('lone', '--tables', name)).toMatchObject({ tables: 1, notes: [] })
    const rows = `select * from ${name} order by n`
    expect(await query(rows, 'lone')).toEqual(await query(rows))
    expect(await query(rows, 'lone')).not.toEqual([])
  })

  test('are refused when the dump does not have them, or something holds on to them, and nothing is done', async () => {
    expect(await restore('whole', '--tables', 'tables.nobody')).toMatchObject({ code: 'bad_argument' })
    expect(await restore('whole', '--tables', 'tables.indexed', '--clean', '--if-exists')).toMatchObject({
      code: 'restore_failed',
      message: expect.stringContaining('other objects depend on it') as string,
    })
    expect(await difference('whole', '--table=tables.indexed')).toBeNull()
    await query('create database bare template template0')
    expect(await restore('bare', '--tables', 'tables.empty', '--no-owner')).toMatchObject({
      message: expect.stringContaining('schema "tables" does not exist') as string,
      hint: expect.stringContaining('Make the schema first') as string,
    })
  })

  test('that need a role which is missing say so, and come without owners', async () => {
    await query('alter role app_owner rename to somebody')
    expect(await restore('bare')).toMatchObject({
      message: expect.stringContaining('role "app_owner" does not exist') as string,
      hint: expect.stringContaining('--no-owner') as string,
    })
    await query('drop database bare')
    await query('create database bare template template0')
    expect(await restore('bare', '--no-owner', '--no-privileges')).toMatchObject({ notes: [] })
    expect(
      await difference(
        'bare',
        '--no-owner',
        '--no-privileges',
        '--no-large-objects',
        '--exclude-table-data=tables.by_enum_*',
      ),
    ).toBeNull()
    await query('alter role somebody rename to app_owner')
  })

  test('say beforehand how many bytes there are to load, and then each of them', async () => {
    const client = sdkClient(backedUp.s3)
    const said = { expected: [] as number[], loaded: 0 }
    try {
      const archive = openArchive(client, 'backups')
      const asked = { server: 'db1', systemIdentifier: null, dumpId: null, database: null, masked: false }
      const { dump: chosen, located } = await chooseDump(archive, asked)
      await restoreDump({
        ...{
          archive,
          dump: chosen,
          located,
          jobs: 2,
          tables: 'toasted,only_nulls',
          what: 'data',
          create: false,
          clean: false,
        },
        ...{ ifExists: false, owner: true, privileges: true, tablespaces: true, disableTriggers: false },
        database: new Secret(backedUp.postgres.url({ database: 'bare' })),
        signal: AbortSignal.timeout(60_000),
        onExpected: (bytes) => said.expected.push(bytes),
        onProgress: (bytes) => (said.loaded += bytes),
        onNote: () => undefined,
      })
      const tables = chosen.manifest.tables.filter(({ name }) => ['toasted', 'only_nulls'].includes(name))
      const parts = tables.flatMap(({ slices }) => slices.flatMap((slice) => slice.parts))
      const bytes = parts.reduce((sum, part) => sum + part.bytes, 0)
      expect(bytes).toBeGreaterThan(100_000)
      expect(said).toEqual({ expected: [bytes], loaded: bytes })
    } finally {
      client.destroy()
    }
  })

  test('leave no session behind when the restore is interrupted', async () => {
    const locker = await backedUp.postgres.connect({ database: 'whole' })
    await locker.query('begin; lock table types.toasted in access exclusive mode')
    const child = spawn(process.execPath, [cli, ...line('whole', '--data-only', '--tables', 'toasted,only_nulls')], {
      env: cleanEnvironment(backedUp.keyholderEnv),
      stdio: 'ignore',
    })
    await until('it waits', async () => {
      const waiting = await query("select from pg_stat_activity where query ~ '^copy' and wait_event_type = 'Lock'")
      return waiting.length > 0
    })
    child.kill('SIGINT')
    expect(await once(child, 'close')).toEqual([130, null])
    await until('its sessions are gone', async () => (await sessions()).length === 0)
    await locker.end()
  })

  test('that are missing or damaged end it: before anything is done, or by name', async () => {
    const key = backedUp.bucket.keys().find((one) => /\/dump\/.*\/manifest/.test(one))!
    const { sections, tables } = parseDumpManifest(key, backedUp.bucket.get(key))
    const rows = tables.find(({ name }) => name === 'toasted')!.slices[0]!.parts[0]!.key
    const bytes = backedUp.bucket.get(rows)
    backedUp.bucket.corrupt(rows)
    await query('create database damaged template template0')
    const url = ['--no-owner', '--no-privileges']
    expect(await restore('damaged', ...url)).toMatchObject({
      code: 'object_damaged',
      message: expect.stringContaining(rows) as string,
    })
    backedUp.bucket.corrupt(rows, () => bytes)
    backedUp.bucket.remove(sections['post-data'][0]!.key)
    expect(await restore('missing', '--create')).toMatchObject({
      code: 'object_missing',
      message: expect.stringContaining(sections['post-data'][0]!.key) as string,
    })
    expect(await query("select from pg_database where datname = 'missing'")).toEqual([])
  })
})
