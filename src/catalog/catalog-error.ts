import { PostboxError, type ErrorCode } from '../errors.js'

/** SQLSTATEs of our own functions (sql/README.md) as codes. */
const codeOfSqlstate: Readonly<Record<string, ErrorCode>> = {
  PB001: 'bad_argument',
  PB002: 'bad_argument',
  PB003: 'grant_invalid',
  PB004: 'grant_expired',
  PB005: 'grant_invalid',
  PB011: 'job_canceled',
  PB014: 'job_not_running',
  PB020: 'wal_missing',
  PB021: 'wal_conflict',
  PB022: 'object_conflict',
}

const UNAVAILABLE = 'Postbox tries again; see whether the server runs and is where POSTBOX_DATABASE_URL says.'
const INSTALL = 'Run "postbox install" against this database.'

/** Codes of node:net, node:dns and node:tls for a server that cannot be reached now. */
const NETWORK = /^(ECONN|EHOST|ENET|ETIMEDOUT|EPIPE|ENOTFOUND|EAI_|ENOENT|EACCES|ERR_SOCKET)/
const CERTIFICATE = /^(CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_|ERR_TLS)/
/** pg gives these no code. */
const LOST =
  /connection terminated|connection ended|timeout exceeded|timeout expired|read timeout|not queryable|connection error/i
const LOGIN = /SASL|SCRAM|password|does not support SSL/i

/** An error of pg or slonik as ours: the first of its causes that tells something. */
export function catalogError(thrown: unknown): PostboxError {
  if (thrown instanceof PostboxError) return thrown
  const errors = causesOf(thrown)
  for (const error of errors) {
    const sqlstate = 'code' in error && typeof error.code === 'string' ? error.code : ''
    const known = bySqlstate(sqlstate, error) ?? byDriver(sqlstate, error)
    if (known) return new PostboxError(known.code, known.message ?? error.message, known.hint, { cause: thrown })
  }
  return new PostboxError(
    'internal',
    `the catalog failed: ${errors.at(-1)?.message ?? String(thrown)}`,
    'This is a defect in Postbox, or the schema is of another version: run "postbox install", else report it.',
    { cause: thrown },
  )
}

interface Known {
  code: ErrorCode
  message?: string
  hint: string
}

function bySqlstate(sqlstate: string, error: Error): Known | null {
  const ours = codeOfSqlstate[sqlstate]
  if (ours) return { code: ours, hint: 'hint' in error && typeof error.hint === 'string' ? error.hint : '' }
  switch (sqlstate) {
    case '28P01':
      return { code: 'database_refused', hint: 'Check the user and password in POSTBOX_DATABASE_URL.' }
    case '28000':
      return { code: 'database_refused', hint: 'Check the user in POSTBOX_DATABASE_URL, and pg_hba.conf.' }
    case '3D000':
      return { code: 'database_refused', hint: 'Check the database name in POSTBOX_DATABASE_URL.' }
    case '3F000':
    case '42P01':
    case '42883':
    case '42703':
      return { code: 'catalog_missing', message: `the catalog is not there, or older: ${error.message}`, hint: INSTALL }
    case '42501':
      return { code: 'catalog_refused', hint: 'Grant the role backup_worker to the worker, or install as a superuser.' }
    case '25006':
      return { code: 'catalog_refused', hint: 'This server is a standby: point Postbox at the primary.' }
  }
  // Connection exceptions, resources, operator intervention (shutdown, timeout), rolled back.
  const passing = /^(08|53|57|40|55P03|25P0)/.test(sqlstate)
  return passing ? { code: 'database_unavailable', hint: UNAVAILABLE } : null
}

function byDriver(code: string, error: Error): Known | null {
  if (code === 'ERR_INVALID_URL') {
    return {
      code: 'config_invalid',
      message: 'the address of the database is no URL',
      hint: 'Write it as postgresql://user:password@host:port/database, with special characters percent-encoded.',
    }
  }
  if (CERTIFICATE.test(code)) {
    return { code: 'database_refused', hint: 'Check sslmode and sslrootcert in POSTBOX_DATABASE_URL.' }
  }
  if (NETWORK.test(code)) {
    // A refused connection to several addresses has an empty message.
    return { code: 'database_unavailable', message: error.message || `no connection (${code})`, hint: UNAVAILABLE }
  }
  if (code !== '') return null
  if (LOST.test(error.message)) return { code: 'database_unavailable', hint: UNAVAILABLE }
  if (LOGIN.test(error.message)) {
    return { code: 'database_refused', hint: 'Check the password and sslmode in POSTBOX_DATABASE_URL.' }
  }
  return null
}

function causesOf(thrown: unknown): Error[] {
  const errors: Error[] = []
  for (let error = thrown; error instanceof Error && !errors.includes(error); error = error.cause) errors.push(error)
  return errors
}
