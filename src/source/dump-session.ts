import pg from 'pg'
import { PostboxError } from '../errors.js'
import type { Secret } from '../secret.js'

/** How the sessions of a dump show in pg_stat_activity. */
export const DUMP_APPLICATION_NAME = 'postbox dump'

/** A table with rows of its own, as the snapshot shows it. */
export interface DumpTable {
  oid: number
  schema: string
  name: string
  columns: string[]
  /** quoted, with its schema */
  sql: string
  bytes: number
  pages: number
  /** whether ranges of ctid can be read by themselves */
  divisible: boolean
}

/** Opens a session that reads one moment, and nothing filtered by row-level security. The caller ends it. */
export async function openDumpSession(databaseUrl: Secret, snapshot: string | null): Promise<pg.Client> {
  const client = new pg.Client({
    connectionString: databaseUrl.reveal(),
    application_name: DUMP_APPLICATION_NAME,
    keepAlive: true,
    connectionTimeoutMillis: 15_000,
  })
  // What is lost is said by the statement under way.
  client.on('error', () => undefined)
  try {
    await client.connect()
    await client.query(`set statement_timeout = 0; set lock_timeout = 0; set idle_in_transaction_session_timeout = 0;
      set row_security = off; set search_path = pg_catalog; set datestyle = iso; set intervalstyle = postgres;
      set extra_float_digits = 3; set client_encoding = 'UTF8'; set synchronize_seqscans = off`)
    await client.query('begin isolation level repeatable read, read only')
    if (snapshot !== null) await client.query(`set transaction snapshot ${pg.escapeLiteral(snapshot)}`)
    return client
  } catch (thrown) {
    await client.end().catch(() => undefined)
    throw dumpError('a connection of the dump', thrown)
  }
}

/**
 * Tables whose rows we copy, locked against changes of their form; largest first. What an extension brought is left to
 * pg_dump, which knows what of it to keep. Throws `dump_refused` when one cannot be read.
 */
export async function lockTables(
  client: pg.Client,
  { tables, schemas }: { tables: number[] | null; schemas: string[] | null },
): Promise<DumpTable[]> {
  const { rows } = await client.query<DumpTable & { readable: boolean; filenode: string }>(TABLES, [tables, schemas])
  const closed = rows.find((table) => !table.readable)
  if (closed) {
    const hint = 'Grant SELECT on it, or pg_read_all_data, to the role of the worker.'
    throw new PostboxError('dump_refused', `the worker may not select from ${closed.sql}`, hint)
  }
  for (const { sql } of rows) await client.query(`lock table only ${sql} in access share mode`)
  // TRUNCATE empties a table for older snapshots too; it must not have come between snapshot and lock.
  const { rows: moved } = await client.query<{ name: string }>(
    `select c.oid::regclass::text as name from pg_class c
     where c.oid = any ($1) and c.relfilenode is distinct from pg_relation_filenode(c.oid) and c.relfilenode <> 0`,
    [rows.map(({ oid }) => oid)],
  )
  if (moved[0]) throw new PostboxError('dump_failed', `${moved[0].name} was rewritten just now`, 'It is tried again.')
  return rows
}

const TABLES = `
  select c.oid::int8::float8 as oid, n.nspname as schema, c.relname as name, format('%I.%I', n.nspname, c.relname) as sql,
    coalesce((select json_agg(a.attname order by a.attnum) from pg_attribute a
      where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''), '[]') as columns,
    pg_table_size(c.oid)::float8 as bytes,
    (pg_relation_size(c.oid) / current_setting('block_size')::int)::float8 as pages,
    m.amname = 'heap' as divisible, has_table_privilege(c.oid, 'select') and has_schema_privilege(n.oid, 'usage') as readable
  from pg_class c join pg_namespace n on n.oid = c.relnamespace left join pg_am m on m.oid = c.relam
  where c.relkind = 'r' and c.relpersistence <> 't'
    and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'backup')
    and not exists (select from pg_depend d
      where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
    and ($1::oid[] is null or c.oid = any ($1)) and ($2::text[] is null or n.nspname = any ($2))
  order by pg_table_size(c.oid) desc, c.oid`

/** A failure of a dump's session or program as ours. `what` is what was being read. */
export function dumpError(what: string, thrown: unknown): PostboxError {
  if (thrown instanceof PostboxError) return thrown
  const { code, message, hint } = thrown as { code?: string; message: string; hint?: string }
  const refused = code !== undefined && /^(42|28|0A|54|XX)/.test(code)
  return new PostboxError(
    refused ? 'dump_refused' : 'dump_failed',
    `${what} could not be dumped: ${message}`,
    hint ?? (refused ? 'See the log of the server.' : 'Postbox tries again; if it does not pass, see its log.'),
    { cause: thrown },
  )
}
