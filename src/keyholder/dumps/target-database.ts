import { PostboxError } from '../../errors.js'
import { Secret } from '../../secret.js'
import { partsOf, sqlName, type QualifiedName } from '../../sql-text/names.js'
import type { Definition } from './definitions.js'
import { runDefinitions } from './run-definitions.js'
import { forDatabase } from './statement-filter.js'
import { TargetSession } from './target-session.js'

const NOT_OURS = `n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'backup')`
const NO_EXTENSIONS = (catalog: string, oid: string) =>
  `not exists (select from pg_depend d where d.classid = '${catalog}'::regclass and d.objid = ${oid} and d.deptype = 'e')`

/** Something that a restore would collide with, or null. */
const SOMETHING = `
  select n.nspname || '.' || c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where ${NOT_OURS} and ${NO_EXTENSIONS('pg_class', 'c.oid')}
  union all
  select n.nspname || '.' || p.proname from pg_proc p join pg_namespace n on n.oid = p.pronamespace
  where ${NOT_OURS} and ${NO_EXTENSIONS('pg_proc', 'p.oid')}
  union all
  select n.nspname || '.' || t.typname from pg_type t join pg_namespace n on n.oid = t.typnamespace
  where t.typtype in ('d', 'e', 'r') and ${NOT_OURS} and ${NO_EXTENSIONS('pg_type', 't.oid')}
  limit 1`

/** Throws `database_not_empty` naming something that is there. */
export async function checkEmpty(session: TargetSession): Promise<void> {
  const [found] = await session.rows<{ name: string }>(SOMETHING)
  if (found) throw notEmpty(`the database is not empty: it has ${found.name}`)
}

/** Throws `database_not_empty` naming a table that is there. */
export async function checkAbsent(session: TargetSession, tables: readonly QualifiedName[]): Promise<void> {
  for (const table of tables) {
    if (await hasTable(session, table)) throw notEmpty(`the database has a table ${sqlName(table)}`)
  }
}

export async function hasTable(session: TargetSession, table: QualifiedName): Promise<boolean> {
  const found = await session.rows(
    'select from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = $1 and c.relname = $2',
    partsOf(table),
  )
  return found.length > 0
}

function notEmpty(message: string): PostboxError {
  const hint =
    'Restore into an empty database (--create makes one), or drop what the dump holds first with --clean --if-exists.'
  return new PostboxError('database_not_empty', message, hint)
}

/**
 * Makes the database that `url` names, with the properties of the dumped one, over the database "postgres" or "template1".
 *
 * `definitions`: of the dumped database; `owner` and `privileges` are left out by the caller.
 */
export async function createDatabase(
  url: Secret,
  definitions: readonly Definition[],
  signal: AbortSignal,
): Promise<void> {
  const name = databaseOf(url)
  const session = await TargetSession.open(inDatabase(url, name === 'postgres' ? 'template1' : 'postgres'), signal)
  try {
    const [there] = await session.rows('select from pg_database where datname = $1', [name])
    if (there) throw notEmpty(`there is a database ${name} already`)
    const quoted = `"${name.replaceAll('"', '""')}"`
    const forThis = definitions.flatMap((definition): Definition[] => {
      const sql = forDatabase(definition.sql, quoted)
      return sql === null ? [] : [{ ...definition, sql }]
    })
    if (forThis.length === 0)
      forThis.push({ sql: `create database ${quoted} template template0`, what: 'the database' })
    await runDefinitions(session, forThis)
  } finally {
    await session.end()
  }
}

/** Throws `bad_argument` when the URL names none. */
export function databaseOf(url: Secret): string {
  const name = decodeURIComponent(parse(url).pathname.slice(1))
  if (name !== '') return name
  throw new PostboxError(
    'bad_argument',
    'the URL names no database',
    'Write it as postgresql://user@host:port/database.',
  )
}

function inDatabase(url: Secret, name: string): Secret {
  const other = parse(url)
  other.pathname = `/${encodeURIComponent(name)}`
  return new Secret(other.href)
}

function parse(url: Secret): URL {
  try {
    const parsed = new URL(url.reveal())
    if (/^postgres(ql)?:$/.test(parsed.protocol)) return parsed
  } catch {
    // It may hold a password, so that it is not repeated.
  }
  const hint = 'Write it as postgresql://user:password@host:port/database, with special characters percent-encoded.'
  throw new PostboxError('bad_argument', 'the address of the database is no postgresql:// URL', hint)
}
