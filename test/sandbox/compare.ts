import { escapeIdentifier, type Client } from 'pg'
import type { SandboxPostgres } from './postgres.js'

export { verifyBackupManifest } from './backup-manifest.js'

/** Everything that users have stored in a server, small enough to compare. Keys begin with the database's name. */
export interface Snapshot {
  /** by table or materialized view; and the large objects of each database */
  rows: Record<string, { rows: string; hash: string }>
  sequences: Record<string, { value: string | null; increment: string }>
  /** definitions */
  indexes: string[]
}

export interface DiffOptions {
  /** `after` went through recovery, where a sequence may have moved on: WAL logs it 32 values ahead */
  recovered?: boolean
  /** transactions that were open where recovery stopped: each may have taken a value, which no rollback gives back */
  open?: number
}

// So that a row has one text, whatever the server or its databases are set to.
const PLAIN = `set timezone = 'UTC'; set datestyle = 'ISO'; set intervalstyle = 'postgres'; set bytea_output = 'hex';
set extra_float_digits = 1; set xmloption = 'content'; set row_security = off`

const TABLES = `
select format('%I.%I', n.nspname, c.relname) as name
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'm') and c.relpersistence = 'p' and c.relispopulated
  and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast', 'backup')
order by 1`

const SEQUENCES = `
select format('%I.%I', schemaname, sequencename) as name, last_value::text as value, increment_by::text as increment
from pg_sequences where schemaname <> 'backup' order by 1`

const INDEXES = `
select pg_get_indexdef(i.indexrelid) || case when i.indisvalid then '' else ' (invalid)' end as definition
from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
where n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast', 'backup')
order by 1`

/**
 * What is in every user database, schema `backup` left out, as of one moment in each.
 *
 * Unlogged tables are left out too: a restore rightly empties them.
 */
export async function snapshotRows(postgres: SandboxPostgres): Promise<Snapshot> {
  const snapshot: Snapshot = { rows: {}, sequences: {}, indexes: [] }
  const databases = await postgres.query<{ datname: string }>(
    'select datname from pg_database where datallowconn and not datistemplate order by 1',
  )
  for (const { datname } of databases) {
    const client = await postgres.connect({ database: datname })
    try {
      await client.query(PLAIN)
      await client.query('begin isolation level repeatable read read only')
      await snapshotDatabase(client, datname, snapshot)
      await client.query('commit')
    } finally {
      await client.end()
    }
  }
  return snapshot
}

async function snapshotDatabase(client: Client, database: string, snapshot: Snapshot): Promise<void> {
  const { rows: tables } = await client.query<{ name: string }>(TABLES)
  for (const { name } of tables) snapshot.rows[`${database}: ${name}`] = await contentOf(client, name)
  snapshot.rows[`${database}: large objects`] = await contentOf(client, 'pg_catalog.pg_largeobject')

  const { rows: sequences } = await client.query<{ name: string; value: string | null; increment: string }>(SEQUENCES)
  for (const { name, value, increment } of sequences) snapshot.sequences[`${database}: ${name}`] = { value, increment }

  const { rows: indexes } = await client.query<{ definition: string }>(INDEXES)
  snapshot.indexes.push(...indexes.map(({ definition }) => `${database}: ${definition}`))
}

// Two sums of 64-bit hashes: they need no order and no memory, so a table may be of any size.
async function contentOf(client: Client, table: string): Promise<{ rows: string; hash: string }> {
  const alias = escapeIdentifier('row of a snapshot')
  const { rows } = await client.query<{ rows: string; hash: string }>(
    `select count(*)::text as rows, coalesce(sum(hashtextextended(${alias}::text, 0)), 0) || '/' ||
            coalesce(sum(hashtextextended(${alias}::text, 1)), 0) as hash
     from only ${table} as ${alias}`,
  )
  return rows[0]!
}

/** What differs between two snapshots, one line each; nothing when they are the same. */
export function diffSnapshots(
  before: Snapshot,
  after: Snapshot,
  { recovered = false, open = 0 }: DiffOptions = {},
): string[] {
  const differences: string[] = []
  for (const name of names(before.rows, after.rows)) {
    const [a, b] = [before.rows[name], after.rows[name]]
    if (!a || !b) differences.push(`${name}: ${a ? 'is gone' : 'is new'}`)
    else if (a.rows !== b.rows) differences.push(`${name}: had ${a.rows} rows, has ${b.rows}`)
    else if (a.hash !== b.hash) differences.push(`${name}: has other content`)
  }
  for (const name of names(before.sequences, after.sequences)) {
    const [a, b] = [before.sequences[name], after.sequences[name]]
    if (!a || !b) differences.push(`sequence ${name}: ${a ? 'is gone' : 'is new'}`)
    else if (a.increment !== b.increment) differences.push(`sequence ${name}: has another increment`)
    else if (a.value !== b.value && !(recovered && loggedAhead(a, b, open))) {
      differences.push(`sequence ${name}: was at ${a.value}, is at ${b.value}`)
    }
  }
  const added = after.indexes.filter((one) => !before.indexes.includes(one))
  const gone = before.indexes.filter((one) => !after.indexes.includes(one))
  differences.push(...gone.map((one) => `index ${one}: is gone`), ...added.map((one) => `index ${one}: is new`))
  return differences
}

function names(before: object, after: object): string[] {
  return [...new Set([...Object.keys(before), ...Object.keys(after)])].sort()
}

// SEQ_LOG_VALS in commands/sequence.c
const LOGGED_AHEAD = 32n

function loggedAhead(
  before: { value: string | null; increment: string },
  after: { value: string | null },
  open: number,
): boolean {
  if (after.value === null) return false
  const steps = (BigInt(after.value) - BigInt(before.value ?? after.value)) / BigInt(before.increment)
  return steps >= 0n && steps <= LOGGED_AHEAD + BigInt(open)
}
