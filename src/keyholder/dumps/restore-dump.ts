import type { PartEntry } from '../../box/manifest.js'
import { PostboxError } from '../../errors.js'
import type { Secret } from '../../secret.js'
import { sqlName } from '../../sql-text/names.js'
import type { Archive } from '../archive.js'
import type { LocatedPart } from '../fetch-parts.js'
import { dropDefinitions } from './drop-definitions.js'
import { definitionsOf, piecesOf, type Definition } from './definitions.js'
import { loadOrder } from './load-order.js'
import type { TableToLoad } from './load-rows.js'
import { loadTables } from './load-tables.js'
import { runContents } from './run-contents.js'
import { runDefinitions } from './run-definitions.js'
import { runSideBySide } from './run-side-by-side.js'
import { isRefresh } from '../../sql-text/refresh.js'
import { setsOwner, setsPrivileges, setsTablespace, withoutTablespace } from './statement-filter.js'
import type { StoredDump } from './stored-dumps.js'
import { TableChoice } from './table-choice.js'
import { checkAbsent, checkEmpty, createDatabase, hasTable } from './target-database.js'
import { sqlstateOf, TargetSession } from './target-session.js'

export interface DumpRestore {
  archive: Archive
  dump: StoredDump
  located: ReadonlyMap<string, LocatedPart>
  database: Secret
  /** connections at once */
  jobs: number
  /** null for all; as in SQL, with commas between them */
  tables: string | null
  what: 'all' | 'schema' | 'data'
  create: boolean
  clean: boolean
  ifExists: boolean
  owner: boolean
  privileges: boolean
  tablespaces: boolean
  /** needs a superuser */
  disableTriggers: boolean
  signal: AbortSignal
  /** said once: how much `onProgress` will say in all */
  onExpected: (storedBytes: number) => void
  onProgress: (storedBytes: number) => void
  /** what a person should know: a sentence */
  onNote: (note: string) => void
}

export interface RestoredDump {
  tables: number
  rows: number
}

/**
 * Restores a dump into a database: definitions, rows, then what is built upon them. Row counts are compared with the
 * manifest's as Postgres counts them.
 *
 * Throws `bad_argument` or `database_not_empty` before anything is done, or `restore_failed` naming what failed; then it is filled in part.
 */
export async function restoreDump(restore: DumpRestore): Promise<RestoredDump> {
  const { archive, dump, jobs, database, what, signal } = restore
  checkHolds(dump, what)
  const { sections, encoding } = dump.manifest
  const partsOf = (entries: readonly PartEntry[]) => entries.map(({ key }) => restore.located.get(key)!)
  const read = async (name: keyof typeof sections) => definitionsOf(archive, partsOf(sections[name]), encoding)
  const [before, after] = await Promise.all([read('pre-data'), read('post-data')])
  const definitions = [...before, ...after].map(({ sql }) => sql)
  const choice = restore.tables === null ? null : new TableChoice(restore.tables, dump.manifest, definitions)

  if (restore.create) await createDatabase(database, kept(await read('database'), restore), signal)
  const sessions: TargetSession[] = []
  try {
    await openSessions(sessions, jobs, database, signal)
    const first = sessions[0]!
    if (restore.clean) {
      const drops = (await read('drop')).filter(
        ({ sql }) => choice === null || (choice.has(sql) && choice.shares(sql) === null),
      )
      await dropDefinitions(first, drops, restore.ifExists)
    } else if (what !== 'data') await (choice ? checkAbsent(first, choice.tables) : checkEmpty(first))
    const wanted = await choose(first, choice, restore)
    if (what !== 'data') await runDefinitions(first, wanted(before))
    const built = wanted(after.filter(({ sql }) => what === 'all' || isRefresh(sql) === (what === 'data')))
    const missing = choice ? passOver(restore) : () => false
    if (what === 'schema') {
      await runSideBySide(sessions, built, missing)
      return { tables: 0, rows: 0 }
    }
    const loads = toLoad(restore, choice, partsOf)
    if (restore.disableTriggers) {
      for (const session of sessions) await session.run(`set session_replication_role = replica`, 'disabling triggers')
    }
    const { onProgress: onStored } = restore
    const isOrdered = what === 'data' && !restore.disableTriggers
    const steps = isOrdered ? await loadOrder(first, loads) : [{ loads, needs: [], inCircle: false }]
    const left = await loadTables(archive, sessions, { steps, definitions: built, passOver: missing, onStored })
    const pieces = piecesOf(archive, partsOf(sections.data), encoding)
    await runContents(first, pieces, (sql) => wanted([{ sql, what: '' }]).length > 0)
    await runSideBySide(sessions, left, missing)
    return { tables: loads.length, rows: loads.reduce((sum, { table }) => sum + table.rows, 0) }
  } catch (thrown) {
    signal.throwIfAborted()
    throw thrown
  } finally {
    await Promise.all(sessions.map((session) => session.end()))
  }
}

/** Throws `bad_argument` when a dump does not hold what is wanted of it. */
function checkHolds({ dumpId, manifest }: StoredDump, what: DumpRestore['what']): void {
  const { only } = manifest.chosen
  const wrong = (message: string, hint: string) => new PostboxError('bad_argument', message, hint)
  if (only === 'data' && what !== 'data') throw wrong(`dump ${dumpId} holds rows alone`, 'Say --data-only.')
  if (only === 'schema' && what === 'data') {
    throw wrong(`dump ${dumpId} holds definitions alone`, 'Leave --data-only out.')
  }
}

/** Whether a statement is run, where owners or privileges are not wanted. */
function isKept(sql: string, { owner, privileges }: DumpRestore): boolean {
  return (owner || !setsOwner(sql)) && (privileges || !setsPrivileges(sql))
}

function kept(definitions: readonly Definition[], restore: DumpRestore): Definition[] {
  const wanted = definitions.filter(({ sql }) => isKept(sql, restore))
  if (restore.tablespaces) return wanted
  return wanted.map(({ sql, what, settings = [] }) => {
    return { sql: withoutTablespace(sql), what, settings: settings.filter((one) => !setsTablespace(one)) }
  })
}

/** Which definitions are run; the rest is noted where a person would miss it. */
async function choose(session: TargetSession, choice: TableChoice | null, restore: DumpRestore) {
  if (choice === null) return (definitions: readonly Definition[]) => kept(definitions, restore)
  const absent = new Set<string>()
  for (const table of choice.needed) if (!(await hasTable(session, table))) absent.add(table)
  const present = new Set<string>()
  for (const sequence of choice.shared) if (await hasTable(session, sequence)) present.add(sequence)
  for (const one of present) restore.onNote(`sequence ${sqlName(one)} is left as it is, because others may use it`)
  return (definitions: readonly Definition[]) =>
    kept(definitions, restore).filter(({ sql, what }) => {
      if (!choice.has(sql) || present.has(choice.shares(sql) ?? '')) return false
      const lacking = choice.lacks(sql)
      if (lacking === null || !absent.has(lacking)) return true
      restore.onNote(`${what} is left out, because there is no table ${sqlName(lacking)}`)
      return false
    })
}

/** A part of a database may lack what triggers, policies and privileges of its tables need. */
const ABSENT = /^(42704|42883|42P01|3F000)$/

function passOver({ onNote }: DumpRestore) {
  return ({ what }: Definition, thrown: unknown): boolean => {
    const absent = thrown instanceof PostboxError && ABSENT.test(sqlstateOf(thrown) ?? '')
    if (absent) onNote(`left out: ${thrown.message.startsWith(what) ? thrown.message : `${what}: ${thrown.message}`}`)
    return absent
  }
}

function toLoad(
  { dump, what, onExpected }: DumpRestore,
  choice: TableChoice | null,
  partsOf: (entries: readonly PartEntry[]) => LocatedPart[],
): TableToLoad[] {
  const { tables, encoding } = dump.manifest
  const loads = tables
    .filter((table) => choice === null || choice.hasTable(table))
    .map((table) => ({
      table,
      encoding,
      isNew: what === 'all',
      root: table.copy_into !== null && (choice === null || choice.hasTable(table.copy_into)) ? table.copy_into : null,
      slices: table.slices.map(({ parts }) => partsOf(parts)),
    }))
  onExpected(loads.flatMap(({ slices }) => slices.flat()).reduce((sum, { entry }) => sum + entry.bytes, 0))
  return loads
}

/** Side by side; those that were opened are in `sessions` also when it fails. */
async function openSessions(sessions: TargetSession[], count: number, url: Secret, signal: AbortSignal): Promise<void> {
  const first = await TargetSession.open(url, signal)
  sessions.push(first)
  const others = Array.from({ length: count - 1 }, async () => {
    sessions.push(await TargetSession.open(url, signal))
  })
  const failure = (await Promise.allSettled(others)).find((one) => one.status === 'rejected')
  if (failure) throw failure.reason
}
