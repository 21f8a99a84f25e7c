import { basePrefix, dumpsPrefix, homePrefix, sha12, type Home } from '../../box/key-names.js'
import { DrillResult } from '../../box/drill-result.js'
import { createHash } from 'node:crypto'
import {
  beginRebuild,
  COPY_ITEMS,
  COPY_SEGMENTS,
  endRebuild,
  itemRow,
  segmentRow,
  type RebuiltItem,
  type RebuiltSegment,
} from '../../catalog/rebuild-script.js'
import { systemIdentifierArgument } from '../../catalog/row-values.js'
import { readSegmentHeader, type SegmentHeader } from '../../wal/page.js'
import type { Archive } from '../archive.js'
import { damageAsNull } from '../damage.js'
import { drillPrefix } from '../drill/stored-drill.js'
import { firstSegmentBytes } from '../stored-backups.js'
import { readSegment, walSegments, walTimelines } from '../stored-wal.js'
import { folderRows, noteStrangeFolders } from './folder-rows.js'
import { historyRows } from './history-rows.js'
import { WalRows } from './wal-rows.js'

/** A piece of the script: statements, or one COPY with its rows. */
export type ScriptPiece = { kind: 'sql'; sql: string } | { kind: 'copy'; sql: string; rows: AsyncIterable<string> }

export interface RebuildRequest {
  home: Home
  /** read every segment, for its whole hash and every last commit */
  readWal: boolean
  /** take away rows of what the bucket does not have (any more) */
  forgetMissing: boolean
  /** told of what is left out, and why */
  note: (text: string) => void
}

const SEGMENT_BYTES = 16 * 1024 * 1024

/**
 * The script that fills a catalog again, piece by piece, from the bucket alone. Its transaction is not ended: whoever runs
 * it commits when all of it has gone through.
 *
 * Each piece must be used up before the next one is asked for. Memory does not grow with WAL or the parts of backups.
 */
export async function* rebuildScript(archive: Archive, request: RebuildRequest): AsyncGenerator<ScriptPiece> {
  const { home, readWal, forgetMissing, note } = request
  const listedAt = new Date()
  yield { kind: 'sql', sql: beginRebuild(home.systemIdentifier) }

  const bases: { segmentBytes: number; storedAt: Date }[] = []
  const folders = folderRows(archive, home, note, ({ wal_segment_bytes: segmentBytes }, storedAt) => {
    bases.push({ segmentBytes, storedAt })
  })
  yield { kind: 'copy', sql: COPY_ITEMS, rows: lines(folders) }
  const histories = await historyRows(archive, home, note)
  const few = [...histories.rows, ...(await drillRows(archive, home, note)), ...(await restoreNotes(archive, home))]
  yield { kind: 'copy', sql: COPY_ITEMS, rows: lines(few) }

  const segmentBytes = firstSegmentBytes(bases) ?? (await sizeOfFirst(archive, home)) ?? SEGMENT_BYTES
  const wal = new WalRows({ archive, home, segmentBytes, readAll: readWal, note })
  yield { kind: 'copy', sql: COPY_SEGMENTS, rows: segmentLines(wal.segments()) }
  yield { kind: 'copy', sql: COPY_ITEMS, rows: lines(wal.commits(histories.leftAt)) }
  await noteStrangers(archive, home, note)
  yield { kind: 'sql', sql: endRebuild(home.systemIdentifier, forgetMissing ? listedAt : null) }
}

async function* lines(items: AsyncIterable<RebuiltItem> | Iterable<RebuiltItem>): AsyncGenerator<string> {
  for await (const item of items) yield itemRow(item)
}

async function* segmentLines(segments: AsyncIterable<RebuiltSegment>): AsyncGenerator<string> {
  for await (const segment of segments) yield segmentRow(segment)
}

/** Where no backup says it. */
async function sizeOfFirst(archive: Archive, home: Home): Promise<number | null> {
  for (const timeline of await walTimelines(archive, home)) {
    for await (const [first] of walSegments(archive, home, timeline)) {
      const raw = await readSegment(archive, first!).catch(damageAsNull)
      const header = raw && readableHeader(raw)
      if (header) return header.segmentBytes
    }
  }
  return null
}

function readableHeader(raw: Buffer): SegmentHeader | null {
  try {
    return readSegmentHeader(raw)
  } catch (thrown) {
    return damageAsNull(thrown)
  }
}

async function drillRows(archive: Archive, home: Home, note: (text: string) => void): Promise<RebuiltItem[]> {
  const rows: RebuiltItem[] = []
  for await (const object of archive.list(drillPrefix(home.server))) {
    const drill = readDrill(await archive.read(object))
    if (!drill) note(`${object.key} is no result of a drill: left out`)
    if (drill?.system_identifier !== home.systemIdentifier) continue
    rows.push({
      kind: 'drill',
      item: { ...drill, system_identifier: systemIdentifierArgument(drill.system_identifier) },
    })
  }
  return rows
}

function readDrill(content: Buffer): DrillResult | null {
  try {
    return DrillResult.parse(JSON.parse(content.toString('utf8')))
  } catch {
    return null
  }
}

/** The notes on how to restore by hand; small, so that their hash is read from them. */
async function restoreNotes(archive: Archive, { server }: Home): Promise<RebuiltItem[]> {
  const rows: RebuiltItem[] = []
  for await (const object of archive.list(`${server}/RESTORE-`)) {
    const { key, bytes, storedAt } = object
    const content = await archive.read(object)
    const sha256 = createHash('sha256').update(content).digest()
    if (key !== `${server}/RESTORE-${sha12(sha256)}.md`) continue
    const stored_at = storedAt.toISOString()
    const row = { id: null, key, kind: 'restore_note', bytes, raw_bytes: bytes, sha256: sha256.toString('hex') }
    rows.push({ kind: 'object', item: { ...row, stored_at } })
  }
  return rows
}

/** What lies beside what is ours. */
async function noteStrangers(archive: Archive, home: Home, note: (text: string) => void): Promise<void> {
  const prefix = homePrefix(home)
  for await (const folder of archive.folders(prefix)) {
    if (!['base', 'dump', 'wal', 'tail'].includes(folder)) {
      note(`${prefix}${folder}/ has no name that Postbox gives: left out`)
    }
  }
  await noteStrangeFolders(archive, basePrefix(home), note)
  await noteStrangeFolders(archive, dumpsPrefix(home), note)
}
