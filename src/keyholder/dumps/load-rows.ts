import { Readable } from 'node:stream'
import pg from 'pg'
import type { DumpedTable } from '../../box/dump-manifest.js'
import { PostboxError } from '../../errors.js'
import { qualified, sqlName } from '../../sql-text/names.js'
import type { Archive } from '../archive.js'
import type { LocatedPart } from '../fetch-parts.js'
import { unpackParts } from '../unpack-parts.js'
import type { TargetSession } from './target-session.js'

/** One COPY: a table, or a range of it. */
export interface SliceToLoad {
  table: DumpedTable
  index: number
  rows: number
  parts: LocatedPart[]
  /** of the rows */
  encoding: string
}

/** Each session takes the next slice; `slices` have the largest first. Rejects once all have ended. */
export async function loadRows(
  archive: Archive,
  sessions: readonly TargetSession[],
  slices: SliceToLoad[],
  onStored: (bytes: number) => void,
): Promise<void> {
  const waiting = slices.values()
  let failed = false
  const work = async (session: TargetSession) => {
    for (const slice of waiting) {
      if (failed) return
      await loadSlice(archive, session, slice, onStored).catch((thrown: unknown) => {
        failed = true
        throw thrown
      })
    }
  }
  const ends = await Promise.allSettled(sessions.map(work))
  const failure = ends.find((end) => end.status === 'rejected')
  if (failure) throw failure.reason
}

async function loadSlice(
  archive: Archive,
  session: TargetSession,
  { table, index, rows, parts, encoding }: SliceToLoad,
  onStored: (bytes: number) => void,
): Promise<void> {
  const name = sqlName(qualified(table.schema, table.name))
  const what = table.slices.length === 1 ? `table ${name}` : `table ${name}, slice ${index}`
  const columns = table.columns.map((column) => pg.escapeIdentifier(column)).join(', ')
  const { schema, name: into } = table.copy_into ?? table
  const target = `${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(into)}`
  const list = columns === '' ? '' : ` (${columns})`
  const sql = `copy ${target}${list} from stdin with (encoding ${pg.escapeLiteral(encoding)})`
  const unpacked = unpackParts(archive, parts, { fetches: 1, frames: 3 })
  const loaded = await session.copy(sql, Readable.from(rowsOf(unpacked, onStored), { objectMode: false }), what)
  if (loaded === rows) return
  const message = `${what}: ${loaded} rows were restored, and the manifest says ${rows}`
  throw new PostboxError('restore_failed', message, 'The dump is damaged, or a trigger or rule changed the rows.')
}

async function* rowsOf(
  unpacked: AsyncIterable<{ part: LocatedPart; raw: Buffer | null }>,
  onStored: (bytes: number) => void,
): AsyncGenerator<Buffer> {
  for await (const { part, raw } of unpacked) {
    if (raw === null) onStored(part.entry.bytes)
    else yield raw
  }
}
