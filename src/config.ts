import { existsSync, readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { withPassword } from './database-address.js'
import { PostboxError } from './errors.js'
import { parseListenAddress, type ListenAddress } from './observe/listen-address.js'
import { Secret } from './secret.js'
import type { variables } from './variables.js'

export { variables } from './variables.js'

/** The environment that is read: process.env, or a test's own. */
export type Environment = Readonly<Record<string, string | undefined>>

export const logLevels = ['debug', 'info', 'warn', 'error', 'silent'] as const
export type LogLevel = (typeof logLevels)[number]

/** What the worker, install and everything else beside the database needs. */
export interface WorkerConfig {
  /** the server that holds the catalog; of several, the one that is the primary now */
  databaseUrls: readonly Secret[]
  /** where WAL and base backups are read from: the first that answers; none: where the catalog is */
  sourceUrls: readonly Secret[]
  /** null: grants come by backup.install_grant() alone */
  issuer: { url: string; token: Secret } | null
  /** path of the certificates to trust; null for the public ones */
  boxCaFile: string | null
  logLevel: LogLevel
  threads: number
  /** where archive-wal finds the worker; null for the usual place */
  socket: string | null
  /** where metrics and the page are served; null: nowhere */
  listen: ListenAddress | null
  /** what opens the page; null: only who is on this machine may */
  pageToken: Secret | null
}

/** Where the bucket is. The S3 keys themselves are found by the AWS SDK's usual chain. */
export interface KeyholderConfig {
  bucket: string
  /** null for AWS */
  endpoint: string | null
  region: string
  pathStyle: boolean
  caFile: string | null
}

export interface IssuerConfig extends KeyholderConfig {
  keyholderFile: string
  logLevel: LogLevel
}

type VariableName = (typeof variables)[number]['name']

/** Throws `config_missing` or `config_invalid`, naming the variable. */
export function workerConfig(env: Environment = process.env): WorkerConfig {
  return {
    databaseUrls: databaseUrls(env),
    sourceUrls: sourceUrls(env),
    issuer: issuerAccess(env),
    boxCaFile: optional(env, 'POSTBOX_CA_FILE'),
    logLevel: logLevel(env),
    threads: threads(env),
    socket: socketPath(env),
    listen: listenAddress(env),
    pageToken: pageToken(env),
  }
}

/** Where archive-wal finds the worker; null for the usual place. Throws `config_invalid`. */
export function socketPath(env: Environment = process.env): string | null {
  const value = optional(env, 'POSTBOX_SOCKET')
  if (value === null || value.startsWith('/')) return value
  throw invalid('POSTBOX_SOCKET', `"${value}" does not begin with /`, '/run/postbox/db1.sock')
}

function listenAddress(env: Environment): ListenAddress | null {
  const value = optional(env, 'POSTBOX_LISTEN')
  if (value === null) return null
  try {
    // A port alone is one of this machine.
    return parseListenAddress(/^\d+$/.test(value) ? `127.0.0.1:${value}` : value)
  } catch (cause) {
    throw invalid('POSTBOX_LISTEN', `"${value}" is no address to listen on`, '127.0.0.1:9187, or a port alone', cause)
  }
}

function pageToken(env: Environment): Secret | null {
  const file = optional(env, 'POSTBOX_PAGE_TOKEN_FILE')
  const inline = optional(env, 'POSTBOX_PAGE_TOKEN')
  if (file === null && inline === null) return null
  required(env, 'POSTBOX_LISTEN', '127.0.0.1:9187')
  if (file !== null && inline !== null) {
    throw invalid('POSTBOX_PAGE_TOKEN_FILE', 'POSTBOX_PAGE_TOKEN is set as well', 'one of the two')
  }
  const name = file === null ? 'POSTBOX_PAGE_TOKEN' : 'POSTBOX_PAGE_TOKEN_FILE'
  const token = inline ?? readSecret('POSTBOX_PAGE_TOKEN_FILE', file!)
  // It stands in an address, too, and must not be guessed.
  if (!/^[A-Za-z0-9._~-]{16,}$/.test(token)) {
    throw invalid(name, 'it holds no token of a page', '16 or more letters and digits, as "openssl rand -hex 16" gives')
  }
  return new Secret(token)
}

/** Whether POSTBOX_DATABASE_URL says anything. */
export function hasDatabaseUrl(env: Environment = process.env): boolean {
  return optional(env, 'POSTBOX_DATABASE_URL') !== null
}

/** Throws `config_missing` or `config_invalid`, naming the variable. */
export function databaseUrls(env: Environment = process.env): Secret[] {
  const name = 'POSTBOX_DATABASE_URL'
  return addresses(env, name, required(env, name, 'postgresql://postbox@localhost/postgres'))
}

function sourceUrls(env: Environment): Secret[] {
  const name = 'POSTBOX_SOURCE_URL'
  const value = optional(env, name)
  return value === null ? [] : addresses(env, name, value)
}

/** One address or several. A comma within an address is none between two: the next one begins with its scheme. */
function addresses(env: Environment, name: VariableName, value: string): Secret[] {
  const password = databasePassword(env)
  const example = 'postgresql://postbox@localhost/postgres, or several of that kind with a comma between each two'
  return value.split(/,(?=\s*postgres(?:ql)?:\/\/)/).map((one) => {
    const address = one.trim()
    // The value holds a password, so that it is not repeated in the message.
    if (!/^postgres(ql)?:\/\//.test(address)) throw invalid(name, 'it does not begin with postgresql://', example)
    if (hostOf(address).includes(',')) throw invalid(name, 'it has several hosts in one address', example)
    return new Secret(password === null ? address : withPassword(address, password))
  })
}

function databasePassword(env: Environment): Secret | null {
  const name = 'POSTBOX_DATABASE_PASSWORD_FILE'
  const file = optional(env, name)
  if (file === null) return null
  const password = readSecret(name, file)
  if (password === '') throw invalid(name, `${file} is empty`, 'a file with the password and nothing else')
  return new Secret(password)
}

function hostOf(address: string): string {
  const authority = address.split('//')[1]!.split(/[/?#]/, 1)[0]!
  return authority.split('@').at(-1)!
}

/** Throws `config_missing` or `config_invalid`, naming the variable. */
export function keyholderConfig(env: Environment = process.env): KeyholderConfig {
  const endpoint = optional(env, 'POSTBOX_S3_ENDPOINT')
  if (endpoint !== null) checkUrl('POSTBOX_S3_ENDPOINT', endpoint, 'https://s3.example.com')
  return {
    bucket: required(env, 'POSTBOX_BUCKET', 'acme-backups'),
    endpoint: endpoint?.replace(/\/+$/, '') ?? null,
    region: optional(env, 'POSTBOX_S3_REGION') ?? (env.AWS_REGION || env.AWS_DEFAULT_REGION || 'us-east-1'),
    pathStyle: flag(env, 'POSTBOX_S3_PATH_STYLE') ?? endpoint !== null,
    caFile: optional(env, 'POSTBOX_CA_FILE'),
  }
}

/** Throws `config_missing` or `config_invalid`, naming the variable. */
export function issuerConfig(env: Environment = process.env): IssuerConfig {
  return {
    ...keyholderConfig(env),
    keyholderFile: keyholderFile(env),
    logLevel: logLevel(env),
  }
}

/** Where the servers, their tokens' hashes and their retention stand. */
export function keyholderFile(env: Environment = process.env): string {
  return optional(env, 'POSTBOX_KEYHOLDER_FILE') ?? 'keyholder.yaml'
}

/** The same for a command that can do without: null where none is named and there is none in the usual place. */
export function keyholderFileIfAny(env: Environment = process.env): string | null {
  const named = optional(env, 'POSTBOX_KEYHOLDER_FILE')
  return named ?? (existsSync(keyholderFile(env)) ? keyholderFile(env) : null)
}

/** Throws `config_invalid` for a word that is no level. */
export function logLevel(env: Environment = process.env): LogLevel {
  const value = optional(env, 'POSTBOX_LOG_LEVEL') ?? 'info'
  const level = logLevels.find((one) => one === value)
  if (!level) throw invalid('POSTBOX_LOG_LEVEL', `"${value}" is no log level`, logLevels.join(', '))
  return level
}

function issuerAccess(env: Environment): WorkerConfig['issuer'] {
  const url = optional(env, 'POSTBOX_ISSUER_URL')
  const file = optional(env, 'POSTBOX_ISSUER_TOKEN_FILE')
  const inline = optional(env, 'POSTBOX_ISSUER_TOKEN')
  if (url === null) {
    // A token alone is a half-made setting that would otherwise pass unseen until the last grant ends.
    if (file !== null || inline !== null) required(env, 'POSTBOX_ISSUER_URL', 'https://issuer.example.com:8443')
    return null
  }
  checkUrl('POSTBOX_ISSUER_URL', url, 'https://issuer.example.com:8443')
  if (file !== null && inline !== null) {
    throw invalid('POSTBOX_ISSUER_TOKEN_FILE', 'POSTBOX_ISSUER_TOKEN is set as well', 'one of the two')
  }
  const token =
    file === null
      ? required(env, 'POSTBOX_ISSUER_TOKEN', 'what "postbox issuer --new-token" printed')
      : readSecret('POSTBOX_ISSUER_TOKEN_FILE', file)
  if (!/^[\x21-\x7e]+$/.test(token)) {
    throw invalid(file === null ? 'POSTBOX_ISSUER_TOKEN' : 'POSTBOX_ISSUER_TOKEN_FILE', 'it holds no token', 'one word')
  }
  return { url: url.replace(/\/+$/, ''), token: new Secret(token) }
}

/** What a file holds, without the space around it. */
function readSecret(name: VariableName, file: string): string {
  try {
    return readFileSync(file, 'utf8').trim()
  } catch (cause) {
    throw invalid(name, `${file} cannot be read`, 'a file that this user may read', cause)
  }
}

function threads(env: Environment): number {
  const value = optional(env, 'POSTBOX_THREADS')
  if (value === null) return availableParallelism()
  if (!/^[1-9]\d{0,2}$/.test(value)) throw invalid('POSTBOX_THREADS', `"${value}" is no number of threads`, '1 to 999')
  return Number(value)
}

function flag(env: Environment, name: VariableName): boolean | null {
  const value = optional(env, name)
  if (value === null) return null
  if (value !== 'true' && value !== 'false') throw invalid(name, `it is "${value}"`, 'true or false')
  return value === 'true'
}

function checkUrl(name: VariableName, value: string, example: string): void {
  const url = URL.canParse(value) ? new URL(value) : null
  if (!url || !['http:', 'https:'].includes(url.protocol) || url.search || url.hash || url.username || url.password) {
    throw invalid(name, 'it is not a plain http or https address', example)
  }
}

/** An empty variable counts as absent: compose files pass on what is not set that way. */
function optional(env: Environment, name: VariableName): string | null {
  return env[name]?.trim() || null
}

function required(env: Environment, name: VariableName, example: string): string {
  const value = optional(env, name)
  if (value === null)
    throw new PostboxError('config_missing', `${name} is not set`, `Set it, for example to: ${example}.`)
  return value
}

function invalid(name: VariableName, problem: string, allowed: string, cause?: unknown): PostboxError {
  return new PostboxError('config_invalid', `${name} cannot be used: ${problem}`, `It may be: ${allowed}.`, { cause })
}

/** Directories of the path, in order. */
export function searchPath(env: Environment = process.env): string[] {
  return (env.PATH ?? '').split(':').filter((directory) => directory.startsWith('/'))
}

/** What a program needs that is to learn nothing of us, then `more`. */
export function bareEnvironment(
  more: Record<string, string>,
  env: Environment = process.env,
): Record<string, string | undefined> {
  const kept = Object.entries(env).filter(([name]) => /^(PATH|TZ|LANG|LD_LIBRARY_PATH)$/.test(name))
  return { ...Object.fromEntries(kept), ...more }
}

/** All of our environment, for a Postgres whose restore_command needs the S3 keys in it. */
export function inheritedEnvironment(
  extra: Record<string, string>,
  env: Environment = process.env,
): Record<string, string> {
  return { ...(env as Record<string, string>), ...extra }
}

/**
 * The environment of a program that we start: ours without what is meant for Postbox and S3, and of libpq's only what says
 * how to encrypt; then `more`.
 */
export function childEnvironment(
  more: Record<string, string>,
  env: Environment = process.env,
): Record<string, string | undefined> {
  const kept = Object.entries(env).filter(([name]) => !/^(POSTBOX_|PG(?!SSL)|AWS_)/.test(name))
  return { ...Object.fromEntries(kept), ...more }
}
