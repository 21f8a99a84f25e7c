import pg from 'pg'
import type { DumpedTable } from '../../box/dump-manifest.js'
import { PostboxError } from '../../errors.js'
import { qualified, sqlName } from '../../sql-text/names.js'
import type { Archive } from '../archive.js'
import type { LocatedPart } from '../fetch-parts.js'
import { unpackParts } from '../unpack-parts.js'
import type { Task } from './run-tasks.js'
import { sqlstateOf, type TargetSession } from './target-session.js'

/** A table whose rows are to come back. */
export interface TableToLoad {
  table: DumpedTable
  /** parts of each of its slices */
  slices: LocatedPart[][]
  /** of the rows */
  encoding: string
  /** whether this run has made the table, so that nobody else has looked at it */
  isNew: boolean
  /** the partitioned table that they are copied into; null: the table itself */
  root: DumpedTable['copy_into']
  /** whether its rows may refer to each other, so that they must all come by one COPY */
  atOnce?: boolean
}

/** A smaller table is loaded before another file for it would be made. */
const WORTH_A_FILE_BYTES = 1024 * 1024

/** The tasks that load a table: a single one, unless a session's fair share of all rows is less than that. */
export function loadTasks(
  archive: Archive,
  load: TableToLoad,
  fairBytes: number,
  onStored: (bytes: number) => void,
): Task[] {
  const { table, isNew, root } = load
  const indexes = table.slices.flatMap(({ parts }, index) => (parts.length > 0 ? [index] : []))
  if (load.atOnce) {
    return [{ locks: new Map(), run: (session) => loadSlices(archive, session, load, indexes, '', onStored) }]
  }
  const isLarge = table.raw_bytes > fairBytes && indexes.length > 1
  if (isLarge || !isNew || root !== null || table.raw_bytes < WORTH_A_FILE_BYTES) {
    return indexes.map((index) => ({
      locks: new Map(),
      run: (session) => loadSlices(archive, session, load, [index], '', onStored),
    }))
  }
  return [{ locks: new Map(), run: (session) => loadAlone(archive, session, load, indexes, onStored) }]
}

/**
 * In a transaction that has emptied the table, as pg_restore does: where wal_level is minimal Postgres writes no WAL for
 * it. And nobody can see an older state, so that rows are written frozen, and no vacuum needs to rewrite them.
 */
async function loadAlone(
  archive: Archive,
  session: TargetSession,
  load: TableToLoad,
  indexes: readonly number[],
  onStored: (bytes: number) => void,
): Promise<void> {
  const { schema, name } = load.table
  await session.transaction(async () => {
    const mayTruncate = await session
      .run(`truncate only ${quoted(schema, name)}`, `table ${sqlName(qualified(schema, name))}`)
      .then(() => true)
      .catch(async (thrown: unknown) => {
        // Its owner may have given the right to insert alone.
        if (sqlstateOf(thrown) !== '42501') throw thrown
        await session.run('rollback', 'the database')
        await session.run('begin', 'the database')
        return false
      })
    for (const index of indexes) {
      await loadSlices(archive, session, load, [index], mayTruncate ? ', freeze' : '', onStored)
    }
  })
}

/** By one COPY. */
async function loadSlices(
  archive: Archive,
  session: TargetSession,
  { table, slices, encoding, root }: TableToLoad,
  indexes: readonly number[],
  options: string,
  onStored: (bytes: number) => void,
): Promise<void> {
  const name = sqlName(qualified(table.schema, table.name))
  const what = indexes.length === table.slices.length ? `table ${name}` : `table ${name}, slice ${indexes.join()}`
  const columns = table.columns.map((column) => pg.escapeIdentifier(column)).join(', ')
  const { schema, name: into } = root ?? table
  const list = columns === '' ? '' : ` (${columns})`
  const sql = `copy ${quoted(schema, into)}${list} from stdin with (encoding ${pg.escapeLiteral(encoding)}${options})`
  const parts = indexes.flatMap((index) => slices[index]!)
  const unpacked = unpackParts(archive, parts, { fetches: 2, frames: 3 })
  const loaded = await session.copy(sql, rowsOf(unpacked, onStored), what)
  const rows = indexes.reduce((sum, index) => sum + table.slices[index]!.rows, 0)
  if (loaded === rows) return
  const message = `${what}: ${loaded} rows were restored, and the manifest says ${rows}`
  throw new PostboxError('restore_failed', message, 'The dump is damaged, or a trigger or rule changed the rows.')
}

const quoted = (schema: string, name: string): string => `${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(name)}`

async function* rowsOf(
  unpacked: AsyncIterable<{ part: LocatedPart; raw: Buffer | null }>,
  onStored: (bytes: number) => void,
): AsyncGenerator<Buffer> {
  for await (const { part, raw } of unpacked) {
    if (raw === null) onStored(part.entry.bytes)
    else yield raw
  }
}
