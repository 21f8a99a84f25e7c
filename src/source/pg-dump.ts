import { execFile, spawn } from 'node:child_process'
import { access, constants } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { promisify } from 'node:util'
import { childEnvironment, searchPath } from '../config.js'
import { PostboxError } from '../errors.js'
import type { Secret } from '../secret.js'
import { DUMP_APPLICATION_NAME, type DumpTable } from './dump-session.js'

export interface PgDump {
  program: string
  /** such as `pg_dump (PostgreSQL) 18.1` */
  version: string
}

export type Section = 'pre-data' | 'data' | 'post-data'

/** The first pg_dump on the path that is as new as the server. Throws `dump_tool_missing`. */
export async function findPgDump(serverMajor: number): Promise<PgDump> {
  const older: string[] = []
  for (const directory of searchPath()) {
    const program = join(directory, 'pg_dump')
    if (!(await isExecutable(program))) continue
    const { stdout } = await promisify(execFile)(program, ['--version'], { env: childEnvironment({}) })
    const version = stdout.trim()
    const major = Number(/\) (\d+)/.exec(version)?.[1] ?? 0)
    if (major >= serverMajor) return { program, version }
    older.push(`${program} is ${major}`)
  }
  const found = older.length === 0 ? 'none is on the path' : older.join(', ')
  throw new PostboxError(
    'dump_tool_missing',
    `a dump needs pg_dump ${serverMajor} or newer: ${found}`,
    `Install the Debian package postgresql-client-${serverMajor} (see apt.postgresql.org) beside the worker.`,
  )
}

async function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  )
}

export interface PgDumpOptions {
  databaseUrl: Secret
  snapshot: string
  section: Section
  /** null for all */
  schemas: string[] | null
  /** with partitioned ones; null for all */
  only: { schema: string; name: string }[] | null
  /** whose rows are copied by ourselves */
  copied: readonly DumpTable[]
}

/** What one argument list may hold, well below Linux's 2 MiB. */
const MAX_ARGUMENT_BYTES = 1_500_000

/** Starts pg_dump; `ended` resolves to its warnings, or rejects with `dump_failed`. Ended when `signal` is aborted. */
export function startPgDump(
  { program }: PgDump,
  options: PgDumpOptions,
  signal: AbortSignal,
): { stdout: Readable; ended: Promise<string[]> } {
  const { url, password } = withoutPassword(options.databaseUrl)
  const args = ['--dbname', url, ...pgDumpArguments(options)]
  if (args.reduce((sum, arg) => sum + Buffer.byteLength(arg) + 9, 0) > MAX_ARGUMENT_BYTES) {
    throw new PostboxError('dump_refused', 'there are too many tables for one dump', 'Dump schema by schema.')
  }
  const env = childEnvironment({ PGAPPNAME: DUMP_APPLICATION_NAME, LC_ALL: 'C', ...password })
  const child = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'pipe'], signal })
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said = (said + text).slice(-20_000)))
  const ending = Promise.withResolvers<string[]>()
  // It is awaited behind its output.
  ending.promise.catch(() => undefined)
  child.once('error', ending.reject)
  child.once('close', (code) => {
    const lines = said.split('\n').filter((line) => line !== '')
    if (code === 0) ending.resolve(lines)
    else ending.reject(pgDumpFailed(options.section, code, lines))
  })
  return { stdout: child.stdout, ended: ending.promise }
}

function pgDumpArguments({ snapshot, section, schemas, only, copied }: PgDumpOptions): string[] {
  const pattern = ({ schema, name }: { schema: string; name: string }) => `${quoted(schema)}.${quoted(name)}`
  return [
    '--no-password',
    '--encoding=UTF8',
    `--snapshot=${snapshot}`,
    `--section=${section}`,
    '--exclude-schema=backup',
    ...(schemas ?? []).map((schema) => `--schema=${quoted(schema)}`),
    ...(only ?? []).map((table) => `--table=${pattern(table)}`),
    // Whatever we do not copy ourselves (sequences, large objects, extensions' tables) is in the section "data".
    ...(section === 'data' ? copied.map((table) => `--exclude-table-data=${pattern(table)}`) : []),
  ]
}

/** In quotes nothing of a name is a pattern. */
const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`

/** A password in an argument could be read by every user of the machine. */
function withoutPassword(databaseUrl: Secret): { url: string; password: Record<string, string> } {
  const url = new URL(databaseUrl.reveal())
  const password = decodeURIComponent(url.password) || url.searchParams.get('password')
  url.password = ''
  url.searchParams.delete('password')
  return { url: url.href, password: password ? { PGPASSWORD: password } : {} }
}

function pgDumpFailed(section: Section, code: number | null, lines: string[]): PostboxError {
  const why = lines.find((line) => line.includes('error:')) ?? lines.at(-1) ?? `it ended with ${code}`
  return new PostboxError('dump_failed', `pg_dump failed in ${section}: ${why}`, 'See the log of the server.')
}
