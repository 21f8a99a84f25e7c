import pg from 'pg'
import { PostboxError } from '../errors.js'
import type { Secret } from '../secret.js'
import type { DumpTable } from './dump-table.js'
import { ReceiveSocket } from './receive-socket.js'

export interface DumpSessionOptions {
  databaseUrl: Secret
  /** how it shows in pg_stat_activity */
  applicationName: string
  /** null to begin a snapshot of its own */
  snapshot: string | null
  /** whether rows that policies hide may be missing; otherwise reading such a table fails */
  rowSecurity: boolean
}

/** What the first session says of the moment that is dumped. */
export interface Moment {
  /** for the other sessions, as long as the first one lasts */
  snapshot: string
  lsn: string
  /** ISO 8601, UTC */
  at: string
  versionNum: number
  serverMajor: number
  database: string
  encoding: string
}

/** There may be dozens of sessions. */
const READ_BYTES = 64 * 1024

/** A session whose rows are read by copy-out.ts. */
export class DumpClient extends pg.Client {
  readonly receive: ReceiveSocket

  constructor(config: pg.ClientConfig) {
    const receive = new ReceiveSocket(READ_BYTES)
    super({ ...config, stream: (({ ssl }: { ssl?: unknown } = {}) => receive.open({ ssl })) as never })
    this.receive = receive
  }
}

/** Opens a session that reads one moment. The caller ends it. */
export async function openDumpSession(options: DumpSessionOptions): Promise<DumpClient> {
  const { databaseUrl, applicationName, snapshot, rowSecurity } = options
  const client = new DumpClient({
    connectionString: databaseUrl.reveal(),
    application_name: applicationName,
    keepAlive: true,
    connectionTimeoutMillis: 15_000,
  })
  // What is lost is said by the statement under way.
  client.on('error', () => undefined)
  try {
    await client.connect()
    await client.query(`${SETTINGS}; set row_security = ${rowSecurity ? 'on' : 'off'}`)
    // A server that cannot watch its clients, or has no such limit, refuses these.
    await client.query('set client_connection_check_interval = 1000').catch(() => undefined)
    await client.query('set transaction_timeout = 0').catch(() => undefined)
    await client.query('begin isolation level repeatable read, read only')
    if (snapshot !== null) await client.query(`set transaction snapshot ${pg.escapeLiteral(snapshot)}`)
    return client
  } catch (thrown) {
    await client.end().catch(() => undefined)
    throw dumpError('a connection of the dump', thrown)
  }
}

const SETTINGS = `set statement_timeout = 0; set lock_timeout = 0; set idle_in_transaction_session_timeout = 0;
  set search_path = pg_catalog, pg_temp; set datestyle = iso; set intervalstyle = postgres; set extra_float_digits = 3;
  set client_encoding = 'UTF8'; set synchronize_seqscans = off; set standard_conforming_strings = on`

/** Takes the snapshot. The end of WAL comes after it, so that what it shows was written before. */
export async function readMoment(client: pg.Client): Promise<Moment> {
  const { rows } = await client.query<Moment>(
    `select pg_export_snapshot() as snapshot, pg_current_wal_insert_lsn()::text as lsn,
       to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as at,
       current_setting('server_version_num')::int as "versionNum",
       current_setting('server_version_num')::int / 10000 as "serverMajor", current_database()::text as database,
       current_setting('server_encoding') as encoding`,
  )
  return rows[0]!
}

/** Locks tables against changes of their form, as the first session does for all. Throws `dump_failed`. */
export async function lockTables(client: pg.Client, tables: readonly DumpTable[]): Promise<void> {
  for (const { sql } of tables) {
    await client.query(`lock table only ${sql} in access share mode`).catch((thrown: unknown) => {
      throw dumpError(`table ${sql}`, thrown)
    })
  }
  await checkNames(client, tables)
  // TRUNCATE empties a table for older snapshots too; it must not have come between snapshot and lock.
  const { rows: moved } = await client.query<{ name: string }>(
    `select c.oid::regclass::text as name from pg_class c
     where c.oid = any ($1) and c.relfilenode is distinct from pg_relation_filenode(c.oid) and c.relfilenode <> 0`,
    [tables.map(({ oid }) => oid)],
  )
  if (moved[0]) throw new PostboxError('dump_failed', `${moved[0].name} was rewritten just now`, 'It is tried again.')
}

/**
 * LOCK and COPY go by names, and a name can come to mean another table, such as one that is newer than the snapshot and
 * empty for it: while LOCK waited or, as a schema needs no lock to get another name, at any time. Throws `dump_failed`.
 */
export async function checkNames(client: pg.Client, tables: readonly DumpTable[]): Promise<void> {
  const { rows: swapped } = await client.query<{ name: string }>(
    `select t.name from unnest($1::oid[], $2::text[]) t (oid, name) where to_regclass(t.name) is distinct from t.oid limit 1`,
    [tables.map(({ oid }) => oid), tables.map(({ sql }) => sql)],
  )
  if (!swapped[0]) return
  throw new PostboxError('dump_failed', `${swapped[0].name} became another table just now`, 'It is tried again.')
}

/**
 * Locks a table for another session than the first, if that is possible at once. False: somebody waits for a lock that
 * excludes all, so that this session would wait for that one, and that one for the first session.
 */
export async function lockAtOnce(client: pg.Client, { sql }: DumpTable): Promise<boolean> {
  try {
    await client.query(
      `savepoint at_once; lock table only ${sql} in access share mode nowait; release savepoint at_once`,
    )
    return true
  } catch (thrown) {
    if ((thrown as { code?: string }).code !== '55P03') throw dumpError(`table ${sql}`, thrown)
    await client.query('rollback to savepoint at_once; release savepoint at_once')
    return false
  }
}

/** What Postgres says of a value, or a row, of more than 1 GB as text; nothing can dump it as it is. */
const TOO_LONG = /invalid memory alloc request size [1-9]\d{9}$/
const TOO_LONG_HINT =
  'A row of it is longer than Postgres can print, 1 GB: split or remove that value, or leave the table out (option "exclude_data").'

/** A failure of a dump's session or program as ours. `what` is what was being read. */
export function dumpError(what: string, thrown: unknown): PostboxError {
  if (thrown instanceof PostboxError) return thrown
  const { code, message, hint } = thrown as { code?: string; message: string; hint?: string }
  // Rights, data that an expression cannot take, limits, damage. What else is wrong may have changed a moment ago.
  const refused = code !== undefined && /^(42501|22|23|28|0A|54|XX|P0|PB)/.test(code)
  return new PostboxError(
    refused ? 'dump_refused' : 'dump_failed',
    `${what} could not be dumped: ${message}`,
    hint ??
      (code === '54000' || TOO_LONG.test(message) ? TOO_LONG_HINT : null) ??
      (refused ? 'See the log of the server.' : 'Postbox tries again; if it does not pass, see its log.'),
    { cause: thrown },
  )
}
