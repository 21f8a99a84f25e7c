import {
  lsnDigits,
  parseSegmentKey,
  parseTailKey,
  tailsPrefix,
  timelinePrefix,
  type Home,
} from '../../box/key-names.js'
import type { Lsn } from '../../wal/lsn.js'
import { formatTimeline, parseSegmentName, segmentName, segmentStart } from '../../wal/segment.js'
import type { Archive, StoredObject } from '../archive.js'

/** An object of WAL, and which bytes it holds: `from` up to, and without, `to`. */
export interface PlacedObject {
  from: Lsn
  to: Lsn
  object: StoredObject
}

/** A folder whose keys sort by LSN, so that a listing can begin at any. */
export interface WalFolder {
  prefix: string
  /** distance of two objects, at the least */
  unit: bigint
  /** sorts behind whatever begins at `lsn`, and before whatever begins later */
  keyBehind(lsn: Lsn): string
  /** null for what is none of this folder's */
  read(object: StoredObject): PlacedObject | null
}

/** Objects that follow each other in the listing; `whole`: there are none behind them. */
export interface WalPage {
  found: PlacedObject[]
  whole: boolean
}

/** Segments of a timeline. */
export function segmentFolder(home: Home, timeline: number, segmentBytes: number): WalFolder {
  const prefix = timelinePrefix(home, timeline)
  return {
    prefix,
    unit: BigInt(segmentBytes),
    keyBehind: (lsn) => `${prefix}${nameAt(timeline, lsn, segmentBytes)}~`,
    read: (object) => {
      const name = parseSegmentKey(object.key)?.name
      const from = name === undefined ? null : startOf(name, segmentBytes)
      return from === null ? null : { from, to: from + BigInt(segmentBytes), object }
    },
  }
}

/** Tails of a timeline. */
export function tailFolder(home: Home, timeline: number, segmentBytes: number): WalFolder {
  const prefix = `${tailsPrefix(home)}${formatTimeline(timeline)}/`
  return {
    prefix,
    // Records begin at multiples of 8.
    unit: 8n,
    keyBehind: (lsn) => `${prefix}${nameAt(timeline, lsn, segmentBytes)}/${lsnDigits(lsn)}~`,
    read: (object) => {
      const tail = parseTailKey(object.key)
      if (!tail || tail.to <= tail.from || startOf(tail.name, segmentBytes) === null) return null
      return { from: tail.from, to: tail.to, object }
    },
  }
}

const nameAt = (timeline: number, lsn: Lsn, segmentBytes: number): string =>
  segmentName({ timeline, start: segmentStart(lsn, segmentBytes) }, segmentBytes)

/** A name that fits another segment size is none of this server's. */
function startOf(name: string, segmentBytes: number): Lsn | null {
  try {
    return parseSegmentName(name, segmentBytes).start
  } catch {
    return null
  }
}

/** What begins behind `behind`, from one request where no key has several versions. */
export async function readPage(
  archive: Archive,
  folder: WalFolder,
  behind: Lsn | null,
  keys: number,
): Promise<WalPage> {
  const found: PlacedObject[] = []
  let seen = 0
  const after = behind === null ? undefined : folder.keyBehind(behind)
  for await (const object of archive.list(folder.prefix, after, keys)) {
    const placed = folder.read(object)
    if (placed) found.push(placed)
    // Of a full page the last key may go on in the next, and comes with that.
    if (++seen >= keys - 1) return { found, whole: false }
  }
  return { found, whole: true }
}

const PROBE_KEYS = 250
const LAST_LSN = 0xffff_ffff_ffff_ffffn

/**
 * The page that ends with the last object of a folder, in O(log n) requests: in ever longer steps until there is nothing,
 * then by halving.
 *
 * @param first a page of it that holds something
 */
export async function findLastPage(archive: Archive, folder: WalFolder, first: WalPage): Promise<WalPage> {
  let page = first
  let from = first.found.at(-1)!.from
  let step = folder.unit * 1024n
  let empty: Lsn | null = null
  while (!page.whole) {
    const isNear = empty !== null && empty - from <= folder.unit * BigInt(PROBE_KEYS)
    const at: Lsn = isNear ? from : empty === null ? from + step : (from + empty) / 2n
    const next = await readPage(archive, folder, at < LAST_LSN ? at : LAST_LSN, PROBE_KEYS)
    const last = next.found.at(-1)
    if (last) {
      page = next
      from = last.from
    } else if (isNear) {
      return page
    } else {
      empty = at
    }
    step *= 2n
  }
  return page
}
