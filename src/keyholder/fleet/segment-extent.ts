import { parseSegmentKey, type Home } from '../../box/key-names.js'
import type { Lsn } from '../../wal/lsn.js'
import type { Archive } from '../archive.js'
import { RunBuilder, type WalRun } from '../wal-chain.js'
import { findLastPage, readPage, segmentFolder, type PlacedObject, type WalFolder, type WalPage } from './wal-folder.js'

/** What a timeline holds in whole segments. */
export interface SegmentExtent {
  from: Lsn
  to: Lsn
  /** what is stored; of a long timeline only gaps at its two ends are known */
  runs: WalRun[]
  /** how many keys, and their bytes; estimates unless `listed` */
  objects: number
  bytes: number
  /** every name was seen */
  listed: boolean
  /** of the last segments: stored bytes for each byte of WAL */
  ratio: number
  newest: PlacedObject
  /** where what was seen parts in two, as after a split brain; null when it does not */
  partsAt: Lsn | null
  /** when the segment that ends there was stored; null where it was not looked at */
  storedAt(end: Lsn): Date | null
}

/** So many names are simply listed: one request. */
const LISTED = 1000
const STRATA = 8
const STRATUM_KEYS = 16

/**
 * Looks at a timeline in a number of requests that hardly grows with it. Null when it has no whole segment.
 *
 * @param sampled whether its bytes are told by samples from all of it, or by its last segments alone
 */
export async function segmentExtent(
  archive: Archive,
  home: Home,
  timeline: number,
  segmentBytes: number,
  sampled: boolean,
): Promise<SegmentExtent | null> {
  const folder = segmentFolder(home, timeline, segmentBytes)
  const first = await readPage(archive, folder, null, LISTED)
  if (first.found.length === 0) return null
  const last = await lastNames(archive, folder, first)
  const [oldest, newest] = [first.found[0]!, last.found.at(-1)!]
  const times = new Map([...first.found, ...last.found].map(({ to, object }) => [to, object.storedAt]))
  const storedAt = (end: Lsn) => times.get(end) ?? null
  const ends = {
    from: oldest.from,
    to: newest.to,
    newest,
    partsAt: partingOf(first.found) ?? partingOf(last.found),
    storedAt,
    ratio: meanBytes(last.found) / segmentBytes,
  }
  if (first.whole) {
    const bytes = first.found.reduce((sum, { object }) => sum + object.bytes, 0)
    const runs = runsOf(first.found, segmentBytes)
    return { ...ends, runs, objects: first.found.length, bytes, listed: true }
  }
  // Of a page that was the last one too, what lay behind it has just gone.
  const all = last === first ? first.found : last.follows ? [...first.found, ...last.found] : null
  const runs = all ? runsOf(all, segmentBytes) : joined(first.found, last.found, segmentBytes)
  const objects = Number((newest.to - oldest.from) / BigInt(segmentBytes))
  const each = sampled ? await sampledBytes(archive, folder, oldest.from, newest.from) : meanBytes(last.found)
  const bytes = objects * each
  return { ...ends, runs, objects, bytes, listed: false }
}

/**
 * A page full of the last names. The one by which the end is found may hold a few, and a gap lie in front of these. `follows`: it
 * begins where the first page ends.
 */
async function lastNames(
  archive: Archive,
  folder: WalFolder,
  first: WalPage,
): Promise<WalPage & { follows?: boolean }> {
  const last = await findLastPage(archive, folder, first)
  if (last === first) return first
  const [seen, enough] = [first.found.at(-1)!.from, last.found.at(-1)!.from - folder.unit * BigInt(LISTED - 10)]
  const page = await readPage(archive, folder, enough > seen ? enough : seen, LISTED)
  // Where names have several contents, a page does not reach to the end.
  return page.whole && page.found.length > 0 ? { ...page, follows: enough <= seen } : last
}

/** The first segment that is stored with two contents, or does not follow the one in front of it. */
function partingOf(found: readonly PlacedObject[]): Lsn | null {
  let front: { place: PlacedObject; mark: string } | null = null
  for (const place of found) {
    const { previous, sha12: mark } = parseSegmentKey(place.object.key)!
    if (front?.place.from === place.from && front.mark !== mark) return place.from
    if (front?.place.to === place.from && previous !== null && previous !== front.mark) return place.from
    front = { place, mark }
  }
  return null
}

/** Mean size of a segment, from a few in each of equal stretches: what is written changes with the years. */
async function sampledBytes(archive: Archive, folder: WalFolder, from: Lsn, to: Lsn): Promise<number> {
  const means: number[] = []
  for (let stratum = 0; stratum < STRATA; stratum++) {
    const middle = from + ((to - from) * BigInt(2 * stratum + 1)) / BigInt(2 * STRATA)
    const { found } = await readPage(archive, folder, middle, STRATUM_KEYS)
    if (found.length > 0) means.push(meanBytes(found))
  }
  return means.reduce((sum, mean) => sum + mean, 0) / Math.max(1, means.length)
}

const meanBytes = (found: readonly PlacedObject[]): number =>
  found.reduce((sum, { object }) => sum + object.bytes, 0) / found.length

function runsOf(found: readonly PlacedObject[], segmentBytes: number): WalRun[] {
  const builder = new RunBuilder(segmentBytes)
  for (const { from } of found) builder.add(from)
  return builder.runs
}

/** Runs at the two ends; what lies between was not looked at, and counts as stored. */
function joined(first: readonly PlacedObject[], last: readonly PlacedObject[], segmentBytes: number): WalRun[] {
  const [front, back] = [runsOf(first, segmentBytes), runsOf(last, segmentBytes)]
  const between = { from: front.at(-1)!.from, to: back[0]!.to }
  return [...front.slice(0, -1), between, ...back.slice(1)]
}
