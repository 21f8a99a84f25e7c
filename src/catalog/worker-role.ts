import type { ClientBase } from 'pg'
import { PostboxError } from '../errors.js'
import { catalogError } from './catalog-error.js'

const DUPLICATE = ['42710', '23505']

interface RoleRow {
  may_log_in: boolean
  may_replicate: boolean
}

/**
 * Makes the role that the worker logs in as: LOGIN, REPLICATION, member of backup_worker. Without a password.
 *
 * A role that is there keeps what it has and gets what it lacks. Throws `catalog_refused`.
 */
export async function ensureWorkerRole(client: ClientBase, name: string): Promise<void> {
  if (name === '' || name.startsWith('pg_')) {
    throw new PostboxError('bad_argument', `"${name}" cannot be a role`, 'Choose another name, such as postbox.')
  }
  try {
    if (!(await findRole(client, name))) await createRole(client, name)
    const role = await findRole(client, name)
    if (!role?.may_log_in) await executeFor(client, 'alter role %I login', name)
    if (!role?.may_replicate) await executeFor(client, 'alter role %I replication', name)
    await executeFor(client, 'grant backup_worker to %I', name)
  } catch (thrown) {
    const error = catalogError(thrown)
    if (error.code !== 'catalog_refused') throw error
    throw new PostboxError(
      'catalog_refused',
      `the role ${name} cannot be made: ${error.message}`,
      'As a superuser run: CREATE ROLE … LOGIN REPLICATION IN ROLE backup_worker.',
      { cause: thrown },
    )
  }
}

async function findRole(client: ClientBase, name: string): Promise<RoleRow | undefined> {
  const { rows } = await client.query<RoleRow>(
    `select r.rolcanlogin as may_log_in, r.rolreplication or r.rolsuper as may_replicate
     from pg_catalog.pg_roles r where r.rolname = $1`,
    [name],
  )
  return rows[0]
}

async function createRole(client: ClientBase, name: string): Promise<void> {
  try {
    await executeFor(client, 'create role %I login replication', name)
  } catch (thrown) {
    // Another install made it in between.
    if (!DUPLICATE.includes((thrown as { code?: string }).code ?? '')) throw thrown
  }
}

/** Statements about roles take no parameters, so the server itself quotes the name. */
async function executeFor(client: ClientBase, statement: string, name: string): Promise<void> {
  const { rows } = await client.query<{ text: string }>('select pg_catalog.format($1, $2::text) as text', [
    statement,
    name,
  ])
  await client.query(rows[0]!.text)
}
