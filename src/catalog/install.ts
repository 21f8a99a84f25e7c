import { readdir, readFile } from 'node:fs/promises'
import type { ClientBase } from 'pg'
import { Umzug, type UmzugStorage } from 'umzug'
import { PostboxError } from '../errors.js'
import { MIGRATION_TABLE } from './extension-scripts.js'
import { version } from '../version.js'
import { catalogError } from './catalog-error.js'

/** Both folders lie beside src as well as beside dist. */
const MIGRATIONS = new URL('../../migrations/', import.meta.url)
const BEHAVIOUR = new URL('../../sql/', import.meta.url)

/** 'ipostbox' in ASCII: a database is installed into by one session at a time. */
const INSTALL_LOCK = '0x69706f7374626f78'

const OLDEST_VERSION_NUM = 150000

/**
 * Installs or upgrades the schema `backup` in the client's database, in one transaction of its own.
 *
 * Does nothing new the second time, and nothing where `CREATE EXTENSION postbox` has made this version's schema. Any number of sessions may do it at once, also in several databases of a cluster.
 * Throws `postgres_too_old`, or `catalog_refused` when the role may not do it or the extension has another version.
 */
export async function installCatalog(client: ClientBase): Promise<void> {
  try {
    await checkVersion(client)
    // Whatever the database's default is, what another session installed meanwhile must be seen.
    await client.query('begin isolation level read committed read write')
    try {
      await client.query("set local search_path = pg_catalog, pg_temp; set local client_min_messages = 'warning'")
      await client.query('select pg_advisory_xact_lock($1::bigint)', [BigInt(INSTALL_LOCK)])
      if (!(await isExtension(client))) {
        await client.query('create schema if not exists backup')
        await applyMigrations(client)
        for (const name of await sqlFiles(BEHAVIOUR)) await applyFile(client, new URL(name, BEHAVIOUR))
      }
      await client.query('commit')
    } catch (thrown) {
      // The first error tells; a connection that is gone cannot be rolled back, and need not be.
      await client.query('rollback').catch(() => undefined)
      throw thrown
    }
  } catch (thrown) {
    throw installError(thrown)
  }
}

async function checkVersion(client: ClientBase): Promise<void> {
  const { rows } = await client.query<{ num: string; version: string }>(
    `select current_setting('server_version_num') as num, current_setting('server_version') as version`,
  )
  const { num, version: name } = rows[0]!
  if (Number(num) >= OLDEST_VERSION_NUM) return
  throw new PostboxError('postgres_too_old', `this is Postgres ${name}`, 'Postbox needs Postgres 15 or later.')
}

/** Whether the schema belongs to the extension, which must be of this version. */
async function isExtension(client: ClientBase): Promise<boolean> {
  const { rows } = await client.query<{ extversion: string }>(
    `select e.extversion from pg_extension e where e.extname = 'postbox'`,
  )
  const found = rows[0]?.extversion
  if (found === undefined) return false
  if (found === version) return true
  throw new PostboxError(
    'catalog_refused',
    `the schema "backup" belongs to the extension postbox ${found}, and this is ${version}`,
    'Place the files of dist/extension on the server and run: ALTER EXTENSION postbox UPDATE.',
  )
}

/** State: each file once, in name order, remembered in a private table. */
async function applyMigrations(client: ClientBase): Promise<void> {
  await client.query(MIGRATION_TABLE)
  const names = await sqlFiles(MIGRATIONS)
  const umzug = new Umzug({
    migrations: names.map((name) => ({ name, up: () => applyFile(client, new URL(name, MIGRATIONS)) })),
    storage: migrationTable(client),
    logger: undefined,
  })
  await umzug.up()
}

function migrationTable(client: ClientBase): UmzugStorage {
  return {
    async executed() {
      const { rows } = await client.query<{ migration: string }>(
        'select migration from backup._migration order by migration',
      )
      return rows.map(({ migration }) => migration)
    },
    async logMigration({ name }) {
      await client.query('insert into backup._migration (migration) values ($1)', [name])
    },
    async unlogMigration({ name }) {
      await client.query('delete from backup._migration where migration = $1', [name])
    },
  }
}

async function sqlFiles(folder: URL): Promise<string[]> {
  const names = await readdir(folder)
  return names.filter((name) => name.endsWith('.sql')).sort()
}

async function applyFile(client: ClientBase, file: URL): Promise<void> {
  await client.query(await readFile(file, 'utf8'))
}

function installError(thrown: unknown): PostboxError {
  if (thrown instanceof PostboxError) return thrown
  const error = catalogError(thrown)
  if (error.code !== 'catalog_refused' || /standby/.test(error.hint)) return error
  return new PostboxError(
    'catalog_refused',
    `the catalog cannot be installed: ${error.message}`,
    'Install as a superuser, or as the owner of the database with CREATEROLE who also owns the schema "backup".',
    { cause: thrown },
  )
}
