import type pg from 'pg'
import { childEnvironment } from '../config.js'
import { PostboxError } from '../errors.js'
import type { Secret } from '../secret.js'
import type { TableName } from './dump-table.js'
import type { TrustedCertificates } from './trusted-certificates.js'

/** pg_dump's own sections, what makes the database itself, and what drops everything again. */
export type Section = 'database' | 'drop' | 'pre-data' | 'data' | 'post-data'

const SECTION_ARGUMENTS: Record<Section, readonly string[]> = {
  database: ['--section=pre-data', '--create'],
  drop: ['--clean', '--if-exists'],
  'pre-data': ['--section=pre-data'],
  data: ['--section=data'],
  'post-data': ['--section=post-data'],
}

export interface PgDumpChoice {
  snapshot: string
  serverMajor: number
  /** of the database */
  encoding: string
  only: 'schema' | 'data' | null
  /** null for all */
  schemas: string[] | null
  /** with partitioned ones; null for all */
  tables: readonly TableName[] | null
  /** with their definitions */
  excluded: readonly TableName[]
  /** whose contents are not wanted; materialized views among them */
  emptied: readonly TableName[]
  /** whose rows are copied by ourselves */
  copied: readonly TableName[]
  masked: boolean
  rowSecurity: boolean
}

export interface PgDumpCall {
  args: string[]
  /** for its stdin; null when that is not read */
  filter: string | null
}

/** What one argument list may hold, well below Linux's 2 MiB. */
const MAX_ARGUMENT_BYTES = 1_500_000
/** What holds a lock that keeps pg_dump waiting may wait itself for a lock of the dump. */
const LOCK_WAIT_MS = 60_000

/** `major`: of pg_dump, which takes any number of names from 17 on. Throws `dump_refused` when there are too many. */
export function pgDumpCall(section: Section, choice: PgDumpChoice, major: number): PgDumpCall {
  const { snapshot, encoding, only, schemas, tables, excluded, emptied, copied, masked, rowSecurity } = choice
  // What we do not copy ourselves (sequences, large objects, extensions' tables) is in "data", and what fills materialized
  // views in "post-data".
  const withoutContents = section === 'data' ? [...emptied, ...copied] : section === 'post-data' ? emptied : []
  const names = [
    ...named('include table', '--table', tables ?? []),
    ...named('exclude table', '--exclude-table', excluded),
    ...named('exclude table_data', '--exclude-table-data', withoutContents),
  ]
  const args = [
    '--no-password',
    // Only without an encoding a database may hold what is no UTF-8.
    `--encoding=${encoding === 'SQL_ASCII' ? encoding : 'UTF8'}`,
    `--snapshot=${snapshot}`,
    ...SECTION_ARGUMENTS[section],
    `--lock-wait-timeout=${LOCK_WAIT_MS}`,
    '--exclude-schema=backup',
    ...(major >= 17 ? ['--exclude-extension=postbox'] : []),
    // Without it, materialized views would be filled.
    ...(only === 'schema' ? ['--schema-only'] : []),
    ...(rowSecurity ? ['--enable-row-security'] : []),
    // Nobody can tell what is in a large object; a subscription may show a password, and statistics show values.
    ...(masked ? ['-B', '--no-subscriptions', ...(major >= 18 ? ['--no-statistics'] : [])] : []),
    ...(schemas ?? []).map((schema) => `--schema=${quoted(schema)}`),
  ]
  const inFilter = (pattern: string) => major >= 17 && FILTERED.test(pattern)
  const rules = names.filter(({ pattern }) => inFilter(pattern)).map(({ rule }) => `${rule}\n`)
  args.push(...names.filter(({ pattern }) => !inFilter(pattern)).map(({ argument }) => argument))
  if (rules.length > 0) args.push('--filter=-')
  const filter = rules.length > 0 ? rules.join('') : null
  if (args.reduce((sum, arg) => sum + Buffer.byteLength(arg) + 9, 0) <= MAX_ARGUMENT_BYTES) return { args, filter }
  const hint = 'Let the worker find pg_dump 17 or newer alone, which takes any number, or dump schema by schema.'
  throw new PostboxError('dump_refused', 'there are too many tables for one dump', hint)
}

/** What a filter surely reads as an argument is read: no names with blanks, line feeds or marks. */
const FILTERED = /^("[\w$-]+"\."[\w$-]+"|\w+\.\([\w|]+\))$/

/** Patterns as lines of a filter, and as arguments. */
const named = (rule: string, argument: string, names: readonly TableName[]) =>
  patterns(names).map((pattern) => ({ pattern, rule: `${rule} ${pattern}`, argument: `${argument}=${pattern}` }))

/** In quotes nothing of a name is a pattern. */
const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`

/** pg_dump asks the server once for each pattern, so that plain names of a schema share one. */
const NAMES_PER_PATTERN = 300

function patterns(names: readonly TableName[]): string[] {
  const isPlain = ({ schema, name }: TableName) => /^[a-z_][a-z0-9_]*$/.test(schema) && /^[a-z_][a-z0-9_]*$/.test(name)
  const odd = names.filter((one) => !isPlain(one)).map(({ schema, name }) => `${quoted(schema)}.${quoted(name)}`)
  const plain = Map.groupBy(names.filter(isPlain), ({ schema }) => schema)
  const shared = [...plain].flatMap(([schema, ofSchema]) =>
    Array.from({ length: Math.ceil(ofSchema.length / NAMES_PER_PATTERN) }, (_, at) => {
      const run = ofSchema.slice(at * NAMES_PER_PATTERN, (at + 1) * NAMES_PER_PATTERN)
      return `${schema}.(${run.map(({ name }) => name).join('|')})`
    }),
  )
  return [...odd, ...shared]
}

/** How pg_dump reaches the server of an open session, as libpq's environment: nothing of it shows among the processes. */
export function pgDumpConnection(
  session: pg.Client,
  databaseUrl: Secret,
  applicationName: string,
  trusted: TrustedCertificates | null,
): Record<string, string> {
  const { host, port, user, database, password } = session
  return {
    PGHOST: host,
    PGPORT: String(port),
    PGUSER: user ?? '',
    PGDATABASE: database ?? '',
    PGAPPNAME: applicationName,
    ...(typeof password === 'string' && password !== '' ? { PGPASSWORD: password } : {}),
    ...encryption(databaseUrl.reveal(), trusted?.file ?? null),
  }
}

function encryption(databaseUrl: string, trusted: string | null): Record<string, string> {
  const query = new URLSearchParams(databaseUrl.split('?')[1] ?? '')
  const settings = {
    PGSSLMODE: sslmode(query),
    PGSSLROOTCERT: query.get('sslrootcert') ?? trusted,
    PGSSLCERT: query.get('sslcert'),
    PGSSLKEY: query.get('sslkey'),
  }
  return Object.fromEntries(Object.entries(settings).filter((entry): entry is [string, string] => entry[1] !== null))
}

/** As libpq says it; pg takes every mode that encrypts for verify-full, and trusts what Node does. Null: nothing is said. */
function sslmode(query: URLSearchParams): string | null {
  const mode = query.get('sslmode') ?? (query.get('ssl') === 'true' ? 'verify-full' : null)
  if (mode === null || mode === 'disable' || query.get('uselibpqcompat') === 'true') return mode
  return mode === 'no-verify' ? 'require' : 'verify-full'
}

/** Whether pg_dump has to be told which certificates to trust. */
export function needsTrusted(databaseUrl: Secret): boolean {
  const query = new URLSearchParams(databaseUrl.reveal().split('?')[1] ?? '')
  const isVerified = query.get('uselibpqcompat') !== 'true' && sslmode(query) === 'verify-full'
  return isVerified && query.get('sslrootcert') === null && childEnvironment({})['PGSSLROOTCERT'] === undefined
}
