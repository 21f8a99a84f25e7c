import { copyFile, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseDumpManifest } from '../../src/box/dump-manifest.js'
import { decompress } from '../../src/keyholder/zstd.js'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { clientPrograms } from '../sandbox/client/programs.js'
import { keyholderEnv, postboxOk } from '../sandbox/command.js'
import { removeScratch, sandboxOwned, scratchDir } from '../sandbox/postgres.js'

const bin = await clientPrograms()

/** As PostGIS has its spatial_ref_sys: rows of its own, and rows of the user's, which alone are to be dumped. */
const SCRIPT = `
create table units (id serial primary key, name text, own boolean not null default false);
insert into units (name, own) values ('metre', true);
create table notes (n int); insert into notes values (1);
select pg_catalog.pg_extension_config_dump('units', 'where not own');
select pg_catalog.pg_extension_config_dump('units_id_seq', '');
create function metres(n int) returns int language sql as 'select n * 1000';
`

const POSTBOX = new URL('../../dist/extension/', import.meta.url)

describe.skipIf(bin === null)('a database with extensions, Postbox itself among them,', () => {
  let backedUp: BackedUpServer
  let home: string

  beforeAll(async () => {
    home = await scratchDir('extension')
    const extension = await sandboxOwned(join(home, 'extension'))
    await writeFile(
      join(extension, 'measures.control'),
      "default_version = '1'\nrelocatable = false\nschema = public\n",
    )
    await writeFile(join(extension, 'measures--1.sql'), SCRIPT)
    for (const name of await readdir(POSTBOX)) await copyFile(new URL(name, POSTBOX), join(extension, name))
    backedUp = await BackedUpServer.start({
      workerEnv: { PATH: bin! },
      settings: { extension_control_path: `$system:${home}` },
    })
    await backedUp.worker.stop()
    await backedUp.postgres.query('drop schema backup cascade; create extension postbox')
    await backedUp.installGrant()
    backedUp.startWorker({ PATH: bin! })
    await backedUp.postgres.query('grant pg_read_all_data to postbox_worker')
    await backedUp.postgres.query(`create extension measures;
      insert into units (name) select 'unit ' || n from generate_series(1, 2000) n; insert into notes values (2);
      create function name_of(unit int) returns text immutable language plpgsql as $$ declare found text;
        begin select name into strict found from public.units where id = unit; return found; end $$;
      create table signs (unit int); insert into signs values (7); create index on signs (name_of(unit));
      create table roads (length int default metres(1), unit int references units); insert into roads (unit) values (7)`)
  })
  afterAll(async () => {
    await backedUp.remove()
    await removeScratch(home)
  })

  test('comes back with the rows that are the user’s, once, and with those the extension brings', async () => {
    const [row] = await backedUp.postgres.query<{ id: string }>('select backup.start_dump() id')
    expect(await backedUp.ended(BigInt(row!.id))).toMatchObject({ state: 'done' })
    const url = backedUp.postgres.url({ database: 'other' })
    const args = ['--server', 'db1', '--database-url', url, '--create', '--json']
    expect(JSON.parse(await postboxOk(['restore-dump', ...args], keyholderEnv(backedUp.s3, 'backups')))).toMatchObject({
      notes: [],
    })
    const all = `select (select json_agg(u order by id) from units u)::text as units, (select json_agg(r) from roads r)::text as roads,
                        (select last_value from units_id_seq) as last`
    const [there] = await backedUp.postgres.query(all, [], { database: 'other' })
    expect(there).toEqual((await backedUp.postgres.query(all))[0])
    expect(await backedUp.postgres.query('select n from notes', [], { database: 'other' })).toEqual([{ n: 1 }])
    const signs = `select indexdef from pg_indexes where tablename = 'signs'`
    expect(await backedUp.postgres.query(signs, [], { database: 'other' })).toHaveLength(1)
    expect(
      await backedUp.postgres.query('select extname from pg_extension where oid > 16383', [], { database: 'other' }),
    ).toEqual([{ extname: 'measures' }])
  })

  test('leaves rows of extensions out of a masked dump, and says so, unless they are asked for', async () => {
    const { postgres, bucket } = backedUp
    await postgres.query(`select backup.mask('public.roads.length', 'null')`)
    const dump = async (options: object) => {
      const query = 'select backup.start_dump(options => $1) id'
      const [row] = await postgres.query<{ id: string }>(query, [JSON.stringify({ masked: true, ...options })])
      expect(await backedUp.ended(BigInt(row!.id))).toMatchObject({ state: 'done' })
      const select = 'select manifest_key as key from backup.dumps where job_id = $1'
      const { key } = (await postgres.query<{ key: string }>(select, [row!.id]))[0]!
      const { sections, warnings } = parseDumpManifest(key, bucket.get(key))
      const text = await Promise.all(sections.data.map((part) => decompress(bucket.get(part.key), part.key)))
      return { warnings, hasUnits: text.join('').includes('unit 7') }
    }
    const warning = 'masked: the rows of extensions in public.units were left out'
    expect(await dump({})).toEqual({ warnings: [warning], hasUnits: false })
    expect(await dump({ extension_rows: true })).toEqual({ warnings: [], hasUnits: true })
  })
})
