import { readFile } from 'node:fs/promises'
import type pg from 'pg'
import { PostboxError } from '../../errors.js'
import { scriptPieces } from '../../sql-text/script.js'
import { verifyPageChecksums } from './page-checksums.js'
import { hasProgram } from './postgres-programs.js'
import type { ScratchServer } from './scratch-server.js'

/** One thing that was looked at in a restored server. */
export interface DrillCheck {
  name: string
  ok: boolean
  seen: string
}

/** Queries of a person's own: each must return rows whose first column is true, all of them. Throws `bad_argument`. */
export async function readQueries(file: string | null): Promise<string[]> {
  if (file === null) return []
  const text = await readFile(file).catch((cause: Error) => {
    const hint = 'Name a file with SQL queries that each return true.'
    throw new PostboxError('bad_argument', `${file} cannot be read: ${cause.message}`, hint, { cause })
  })
  const queries: string[] = []
  for await (const piece of scriptPieces([text, Buffer.from('\n;')])) {
    if (piece.kind === 'statement') queries.push(piece.sql)
    else throw new PostboxError('bad_argument', `${file} is not plain SQL`, 'Leave psql commands and COPY out.')
  }
  return queries
}

export async function runQueries(client: pg.Client, queries: readonly string[]): Promise<DrillCheck[]> {
  const checks: DrillCheck[] = []
  for (const sql of queries) {
    const name = sql.replace(/\s+/g, ' ').slice(0, 120)
    try {
      const { rows } = await client.query<unknown[]>({ text: sql, rowMode: 'array' })
      const wrong = rows.find((row) => row[0] !== true)
      const seen = rows.length === 0 ? 'no rows' : wrong ? `it returned ${String(wrong[0])}` : 'true'
      checks.push({ name, ok: seen === 'true', seen })
    } catch (thrown) {
      checks.push({ name, ok: false, seen: (thrown as Error).message })
    }
  }
  return checks
}

/**
 * Keeps the event triggers of all databases from firing when the extension amcheck is made. From Postgres 17 on a setting does
 * that; they do not fire for what is done to themselves.
 */
async function disableEventTriggers(server: ScratchServer, user: string, database: string): Promise<void> {
  if (server.options.major >= 17) return
  const inside = async <T extends pg.QueryResultRow>(name: string, sql: string): Promise<T[]> => {
    const client = await server.connect(user, name)
    try {
      return (await client.query<T>(sql)).rows
    } finally {
      await client.end().catch(() => undefined)
    }
  }
  const databases = await inside<{ name: string }>(
    database,
    'select datname::text as name from pg_catalog.pg_database where datallowconn and datconnlimit <> -2',
  )
  for (const { name } of databases) {
    const enabled = `select pg_catalog.format('alter event trigger %I disable', evtname) as sql
      from pg_catalog.pg_event_trigger where evtenabled <> 'D'`
    for (const { sql } of await inside<{ sql: string }>(name, enabled)) await inside(name, sql)
  }
}

/** Every index and table by pg_amcheck; or, as text, why that cannot be here. */
export async function amcheck(server: ScratchServer, user: string, database: string): Promise<DrillCheck | string> {
  const { programs } = server.options
  if (!(await hasProgram(programs, 'pg_amcheck'))) return `pg_amcheck: it is not in ${programs}`
  await disableEventTriggers(server, user, database)
  const { code, said } = await server.run('pg_amcheck', ['--all', '--install-missing', '--no-password', '-U', user])
  const absent = /amcheck.*(not available|could not open extension control)/s.test(said)
  if (absent) return 'pg_amcheck: the extension amcheck is not installed'
  return { name: 'pg_amcheck', ok: code === 0, seen: code === 0 ? 'nothing wrong' : said.slice(0, 500) }
}

/** Every page, of a server that was stopped cleanly: by pg_checksums, or ourselves where the package lacks it. */
export async function pageChecksums(server: ScratchServer): Promise<DrillCheck> {
  const { programs, dataDir } = server.options
  const name = 'page checksums'
  if (await hasProgram(programs, 'pg_checksums')) {
    const { code, said } = await server.run('pg_checksums', ['--check', '-D', dataDir])
    const pages = /Blocks scanned:\s+(\d+)/.exec(said)?.[1]
    return { name, ok: code === 0, seen: code === 0 ? `${pages ?? 'all'} pages are good` : said.slice(0, 500) }
  }
  const { pages, bad } = await verifyPageChecksums(dataDir)
  return { name, ok: bad.length === 0, seen: bad.length === 0 ? `${pages} pages are good` : bad.slice(0, 3).join('; ') }
}
