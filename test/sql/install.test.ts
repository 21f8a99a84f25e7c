import type { ClientBase } from 'pg'
import { afterAll, describe, expect, test } from 'vitest'
import { installCatalog } from '../../src/catalog/install.js'
import { ensureWorkerRole } from '../../src/catalog/worker-role.js'
import { postgresVersions, startPostgres, type SandboxPostgres } from '../sandbox/postgres.js'

const servers: SandboxPostgres[] = []

afterAll(async () => {
  for (const server of servers) await server.remove()
})

async function start(version: (typeof postgresVersions)[number]): Promise<SandboxPostgres> {
  const server = await startPostgres({ version, settings: { max_connections: '60' } })
  servers.push(server)
  return server
}

async function install(server: SandboxPostgres, options: { user?: string; database?: string } = {}): Promise<void> {
  const client = await server.connect(options)
  try {
    await installCatalog(client)
  } finally {
    await client.end()
  }
}

const applied = 'select migration, applied_at::text from backup._migration order by migration'

describe.each(postgresVersions)('install on Postgres %i', (version) => {
  test('a second install keeps what was there', async () => {
    const server = await start(version)
    await install(server)
    await server.query('select backup.start_base($1)', ['before'])
    const first = await server.query(applied)
    await install(server)
    expect(await server.query(applied)).toEqual(first)
    expect(first.length).toBeGreaterThan(0)
    expect(await server.query('select label from backup.jobs')).toEqual([{ label: 'before' }])
  })

  test('twenty installs at once all succeed, and the catalog is installed once', async () => {
    const server = await start(version)
    await Promise.all(Array.from({ length: 20 }, () => install(server)))
    const migrations = await server.query<{ migration: string }>(applied)
    expect(new Set(migrations.map((row) => row.migration)).size).toBe(migrations.length)
    // Each setting once, as one install leaves it.
    const settings = await server.query<{ setting: string }>('select setting from backup.settings')
    expect(new Set(settings.map((row) => row.setting)).size).toBe(settings.length)
    expect(settings.length).toBeGreaterThan(0)
  })

  test('installs in several databases of a cluster at once all succeed, though roles are shared', async () => {
    const server = await start(version)
    const databases = ['one', 'two', 'three', 'four']
    for (const database of databases) await server.query(`create database ${database}`)
    await Promise.all(databases.flatMap((database) => [install(server, { database }), install(server, { database })]))
    for (const database of databases) {
      expect(await server.query('select backup.start_base()::int as job', [], { database })).toEqual([{ job: 1 }])
    }
    const roles = await server.query(`select rolname from pg_roles where rolname ~ '^backup_' order by 1`)
    expect(roles.map((row) => row['rolname'])).toEqual(['backup_monitor', 'backup_operator', 'backup_worker'])
  })
})

test('an install that a role may not do is refused with a hint, and leaves nothing behind', async () => {
  const server = await start(18)
  await server.query('create role plain login')
  await expect(install(server, { user: 'plain' })).rejects.toMatchObject({
    code: 'catalog_refused',
    hint: expect.stringContaining('superuser') as string,
  })
  await server.query('grant create on database postgres to plain')
  await expect(install(server, { user: 'plain' })).rejects.toMatchObject({ code: 'catalog_refused' })
  expect(await server.query(`select from pg_namespace where nspname = 'backup'`)).toEqual([])
})

test('a role that is no superuser can install when it may create roles and schemas', async () => {
  const server = await start(18)
  await server.query('create role owner login createrole; grant create on database postgres to owner')
  await install(server, { user: 'owner' })
  expect(await server.query('select name from backup.checks', [], { user: 'owner' })).not.toEqual([])
})

test('a failed install takes back everything, also what came before the failure', async () => {
  const server = await start(18)
  await server.query('create schema backup; create view backup.jobs as select 1 as mine')
  await expect(install(server)).rejects.toMatchObject({ name: 'PostboxError' })
  expect(await server.query('select mine from backup.jobs')).toEqual([{ mine: 1 }])
  expect(await server.query(`select relname from pg_class where relnamespace = 'backup'::regnamespace`)).toEqual([
    { relname: 'jobs' },
  ])
})

test('Postgres before 15 is refused', async () => {
  const asked: unknown[] = []
  // No such server is at hand; what matters is that nothing but its version is asked for.
  const old = {
    query: (text: unknown) => {
      asked.push(text)
      return Promise.resolve({ rows: [{ num: '140012', version: '14.12' }] })
    },
  } as unknown as ClientBase
  await expect(installCatalog(old)).rejects.toMatchObject({
    code: 'postgres_too_old',
    message: 'this is Postgres 14.12',
  })
  expect(asked).toHaveLength(1)
})

describe('the worker role', () => {
  const attributes = `select rolcanlogin, rolreplication, pg_has_role(oid, 'backup_worker', 'member') as worker,
    (select a.rolpassword from pg_authid a where a.oid = r.oid) as password from pg_roles r where rolname = $1`
  const complete = [{ rolcanlogin: true, rolreplication: true, worker: true, password: null }]

  test('is made with what the worker needs, under any name, however often', async () => {
    const server = await start(18)
    await install(server)
    const name = `odd "name'; drop schema backup`
    const clients = await Promise.all(Array.from({ length: 5 }, () => server.connect()))
    await Promise.all(clients.slice(1).map((client) => ensureWorkerRole(client, name)))
    await ensureWorkerRole(clients[0]!, name)
    await Promise.all(clients.map((client) => client.end()))
    expect(await server.query(attributes, [name])).toEqual(complete)
  })

  test('that is there already gets what it lacks', async () => {
    const server = await start(18)
    await install(server)
    await server.query('create role postbox')
    const client = await server.connect()
    await ensureWorkerRole(client, 'postbox')
    await expect(ensureWorkerRole(client, 'pg_mine')).rejects.toMatchObject({ code: 'bad_argument' })
    await client.end()
    expect(await server.query(attributes, ['postbox'])).toEqual(complete)
  })
})
