import { copyFile, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { installCatalog } from '../../src/catalog/install.js'
import {
  controlFile,
  installScript,
  updateScript,
  type SqlFile,
  type SqlFiles,
} from '../../src/catalog/extension-scripts.js'
import { version as postboxVersion } from '../../src/version.js'
import { postgresHome } from '../sandbox/binaries.js'
import {
  postgresVersions,
  removeScratch,
  scratchDir,
  startPostgres,
  type SandboxPostgres,
} from '../sandbox/postgres.js'
import { run } from '../sandbox/run.js'
import { dumpSchema } from './dump-schema.js'

const FILES = new URL('../../dist/extension/', import.meta.url)

let server: SandboxPostgres | undefined
let programs: string

afterEach(async () => {
  await server?.remove()
  server = undefined
  await removeScratch(programs)
})

/** A server whose share directory has room for an extension. */
async function start(version: (typeof postgresVersions)[number]): Promise<SandboxPostgres> {
  programs = await scratchDir('programs')
  await run('cp', ['-a', '--reflink=auto', `${(await postgresHome(version)).directory}/.`, programs])
  server = await startPostgres({ version, programs })
  return server
}

const place = (name: string) => join(programs, 'share/postgresql/extension', name)

async function schemaOf(postgres: SandboxPostgres, database: string): Promise<string> {
  const client = await postgres.connect({ database })
  try {
    const { rows } = await client.query('select migration from backup._migration order by 1')
    return `${await dumpSchema(client)}${await bodies(postgres, database)}${JSON.stringify(rows)}`
  } finally {
    await client.end()
  }
}

/** What reads as text: functions, views, comments. */
async function bodies(postgres: SandboxPostgres, database: string): Promise<string> {
  const rows = await postgres.query<{ line: string }>(
    `select pg_get_functiondef(p.oid) || obj_description(p.oid) || p.proowner::regrole as line from pg_proc p
     where p.pronamespace = 'backup'::regnamespace and p.prokind in ('f', 'p')
     union all
     select c.relname || coalesce(pg_get_viewdef(c.oid), '') || c.relowner::regrole || d.objsubid || d.description
     from pg_class c join pg_description d on d.objoid = c.oid where c.relnamespace = 'backup'::regnamespace
     order by 1`,
    [],
    { database },
  )
  return rows.map(({ line }) => line + '\n').join('')
}

async function install(postgres: SandboxPostgres, database: string): Promise<void> {
  const client = await postgres.connect({ database })
  try {
    await installCatalog(client)
  } finally {
    await client.end()
  }
}

describe.each(postgresVersions)('the extension on Postgres %i', (version) => {
  test('makes the same schema as "postbox install", which then leaves it alone', async () => {
    const postgres = await start(version)
    for (const name of await readdir(FILES)) await copyFile(new URL(name, FILES), place(name))
    await postgres.query('create database by_command')
    await install(postgres, 'by_command')
    const there = await schemaOf(postgres, 'by_command')
    await expect(postgres.query('create extension postbox', [], { database: 'by_command' })).rejects.toMatchObject({
      message: expect.stringContaining('made by "postbox install"'),
    })

    await postgres.query('create extension postbox')
    expect(await schemaOf(postgres, 'postgres')).toBe(there)
    expect(there.length).toBeGreaterThan(50_000)
    await install(postgres, 'postgres')
    expect(await schemaOf(postgres, 'postgres')).toBe(there)
    // All of it is the extension's, and nothing stays behind.
    await postgres.query('drop extension postbox')
    expect(await postgres.query(`select relname from pg_class where relnamespace = 'backup'::regnamespace`)).toEqual([])
    expect(await postgres.query(`select proname from pg_proc where pronamespace = 'backup'::regnamespace`)).toEqual([])
  })
})

test('the lines of docs/tutorial.md take the extension out too, and both slots', async () => {
  const postgres = await start(18)
  for (const name of await readdir(FILES)) await copyFile(new URL(name, FILES), place(name))
  await postgres.query('create extension postbox')
  await postgres.query('create role postbox login replication in role backup_worker')
  for (const slot of ['postbox', 'postbox_rows', 'of_another']) {
    await postgres.query('select pg_create_physical_replication_slot($1)', [slot])
  }
  const page = await readFile(new URL('../../docs/tutorial.md', import.meta.url), 'utf8')
  const [, out] = page.split('## 10. Take it out for good')
  const [, slots] = /^slots="(.*)"$/m.exec(out!)!
  const statements = [...out!.matchAll(/-c "([^"]*)"/g)].map(([, text]) => text!.replace('$slots', slots!))
  for (const statement of statements) await postgres.query(statement)
  expect(await postgres.query('select slot_name from pg_replication_slots')).toEqual([{ slot_name: 'of_another' }])
  expect(await postgres.query("select from pg_roles where rolname ~ '^(backup_|postbox)'")).toEqual([])
  expect(await postgres.query("select from pg_namespace where nspname = 'backup'")).toEqual([])
})

test('an update brings a released version to this one, and keeps what is there', async () => {
  const postgres = await start(18)
  const files = await sources()
  // As the next version would be: one migration more, and a function that is another.
  const next: SqlFiles = {
    migrations: [...files.migrations, { name: '999-next.sql', text: 'create table backup._next (n int);' }],
    behaviour: files.behaviour.map(({ name, text }) => ({
      name,
      text: text.replaceAll('names as its predecessor', 'goes on from'),
    })),
  }
  const last = files.migrations.at(-1)!.name
  await writeFile(place('postbox.control'), controlFile('9.0.0'))
  await writeFile(place(`postbox--${postboxVersion}.sql`), installScript(files))
  await writeFile(place('postbox--9.0.0.sql'), installScript(next))
  await writeFile(place(`postbox--${postboxVersion}--9.0.0.sql`), updateScript('9.0.0', next, last))
  await postgres.query('create database fresh')
  await postgres.query('create extension postbox', [], { database: 'fresh' })
  await postgres.query(`create extension postbox version '${postboxVersion}'`)
  await postgres.query(`select backup.configure('part_bytes', '8MB'); select backup.start_base('before')`)

  await postgres.query('alter extension postbox update')
  const fresh = await schemaOf(postgres, 'fresh')
  expect(fresh).toContain('What the next dump goes on from.')
  expect(await schemaOf(postgres, 'postgres')).toBe(fresh)
  expect(await postgres.query('select label from backup.jobs')).toEqual([{ label: 'before' }])
  await expect(install(postgres, 'postgres')).rejects.toMatchObject({
    code: 'catalog_refused',
    message: `the schema "backup" belongs to the extension postbox 9.0.0, and this is ${postboxVersion}`,
    hint: expect.stringContaining('ALTER EXTENSION postbox UPDATE'),
  })
})

async function sources(): Promise<SqlFiles> {
  const read = async (folder: URL): Promise<SqlFile[]> => {
    const names = (await readdir(folder)).filter((name) => name.endsWith('.sql')).sort()
    return Promise.all(names.map(async (name) => ({ name, text: await readFile(new URL(name, folder), 'utf8') })))
  }
  return {
    migrations: await read(new URL('../../migrations/', import.meta.url)),
    behaviour: await read(new URL('../../sql/', import.meta.url)),
  }
}
