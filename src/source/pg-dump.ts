import { execFile, spawn } from 'node:child_process'
import { access, constants } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { promisify } from 'node:util'
import { childEnvironment, searchPath } from '../config.js'
import { PostboxError } from '../errors.js'
import { pgDumpCall, type PgDumpChoice, type Section } from './pg-dump-arguments.js'

export interface PgDump {
  program: string
  /** such as `pg_dump (PostgreSQL) 18.1` */
  version: string
  major: number
}

/** Of the pg_dumps on the path that are as new as the server, the one that is nearest to it. Throws `dump_tool_missing`. */
export async function findPgDump(serverMajor: number): Promise<PgDump> {
  const older: string[] = []
  const found: PgDump[] = []
  for (const directory of searchPath()) {
    const program = join(directory, 'pg_dump')
    if (!(await isExecutable(program))) continue
    const { stdout } = await promisify(execFile)(program, ['--version'], { env: childEnvironment({}) })
    const version = stdout.trim()
    const major = Number(/\) (\d+)/.exec(version)?.[1] ?? 0)
    if (major >= serverMajor) found.push({ program, version, major })
    else older.push(`${program} is ${major}`)
  }
  const best = found.sort((a, b) => a.major - b.major)[0]
  if (best) return best
  const seen = older.length === 0 ? 'none is on the path' : older.join(', ')
  throw new PostboxError(
    'dump_tool_missing',
    `a dump needs pg_dump ${serverMajor} or newer: ${seen}`,
    `Install it beside the worker: postgresql-client-${serverMajor} of Debian and Ubuntu (apt.postgresql.org), ` +
      `postgresql${serverMajor} of the others (yum.postgresql.org).`,
  )
}

async function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  )
}

/** Starts pg_dump; `ended` resolves to its warnings, or rejects with `dump_failed`. Ended when `signal` is aborted. */
export function startPgDump(
  { program, major }: PgDump,
  section: Section,
  choice: PgDumpChoice,
  connection: Record<string, string>,
  signal: AbortSignal,
): { stdout: Readable; ended: Promise<string[]> } {
  const { args, filter } = pgDumpCall(section, choice, major)
  const env = childEnvironment({ LC_ALL: 'C', ...connection })
  const child = spawn(program, args, { env, stdio: ['pipe', 'pipe', 'pipe'], signal })
  // That it ended before it had read all is said elsewhere.
  child.stdin.on('error', () => undefined).end(filter ?? '')
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said = (said + text).slice(-20_000)))
  const ending = Promise.withResolvers<string[]>()
  // It is awaited behind its output.
  ending.promise.catch(() => undefined)
  child.once('error', ending.reject)
  child.once('close', (code) => {
    const lines = said.split('\n').filter((line) => line !== '')
    if (code === 0) ending.resolve(lines)
    else ending.reject(pgDumpFailed(section, code, lines))
  })
  return { stdout: forServer(child.stdout, choice.serverMajor), ended: ending.promise }
}

/** Bytes that hold the settings at the head of what pg_dump prints. */
const HEAD_BYTES = 4096
/** Known from Postgres 17 on; an older server would refuse it, and psql with ON_ERROR_STOP would end there. */
const UNKNOWN_SETTING = '\nSET transaction_timeout = 0;\n'

function forServer(text: Readable, serverMajor: number): Readable {
  return serverMajor >= 17 ? text : Readable.from(withoutSetting(text), { objectMode: false })
}

async function* withoutSetting(text: Readable): AsyncGenerator<Buffer> {
  let head: Buffer | null = Buffer.alloc(0)
  for await (const chunk of text as AsyncIterable<Buffer>) {
    head = head && Buffer.concat([head, chunk])
    if (head && head.length < HEAD_BYTES) continue
    yield head ? Buffer.from(head.toString('latin1').replace(UNKNOWN_SETTING, '\n'), 'latin1') : chunk
    head = null
  }
  if (head) yield Buffer.from(head.toString('latin1').replace(UNKNOWN_SETTING, '\n'), 'latin1')
}

function pgDumpFailed(section: Section, code: number | null, lines: string[]): PostboxError {
  const why = lines.find((line) => line.includes('error:')) ?? lines.at(-1) ?? `it ended with ${code}`
  const refused = /permission denied|row-level security/.test(lines.join('\n'))
  return new PostboxError(
    refused ? 'dump_refused' : 'dump_failed',
    `pg_dump failed in ${section}: ${why}`,
    refused
      ? 'Grant the right to the role of the worker (pg_read_all_data holds all but those of large objects), or leave it out.'
      : 'See the log of the server.',
  )
}
