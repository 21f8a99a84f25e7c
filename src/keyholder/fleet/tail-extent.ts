import type { Home } from '../../box/key-names.js'
import type { Lsn } from '../../wal/lsn.js'
import type { Archive } from '../archive.js'
import { findLastPage, readPage, tailFolder, type PlacedObject } from './wal-folder.js'

/** What a timeline holds in tails. */
export interface TailExtent {
  /** how many, and their bytes; estimates unless `listed` */
  objects: number
  bytes: number
  listed: boolean
  /** how many lie behind the whole segments; there may be more, unless that is less than 1000 */
  behind: number
  /** for each byte of WAL: tails, and their stored bytes */
  perByte: { objects: number; bytes: number }
  /** how far they go on, by their names, from a position; and the last of them, null when none does */
  reach(from: Lsn): { end: Lsn; last: PlacedObject | null }
  oldest: PlacedObject
}

const LISTED = 1000

/**
 * Looks at the tails of a timeline in a number of requests that hardly grows with them. Null when there are none.
 *
 * @param end of its whole segments
 */
export async function tailExtent(
  archive: Archive,
  home: Home,
  timeline: number,
  segmentBytes: number,
  end: Lsn | null,
): Promise<TailExtent | null> {
  const folder = tailFolder(home, timeline, segmentBytes)
  const first = await readPage(archive, folder, null, LISTED)
  const oldest = first.found[0]
  if (!oldest) return null
  const sum = (found: readonly PlacedObject[]) => found.reduce((total, { object }) => total + object.bytes, 0)
  const perByte = (found: readonly PlacedObject[]) => {
    const covered = Number(found.reduce((total, { from, to }) => total + (to - from), 0n))
    return { objects: found.length / covered, bytes: sum(found) / covered }
  }
  if (first.whole) {
    const { found } = first
    const reach = (from: Lsn) => chain(found, from)
    const behind = end === null ? found.length : found.filter(({ to }) => to > end).length
    return { objects: found.length, bytes: sum(found), listed: true, behind, perByte: perByte(found), reach, oldest }
  }

  // Those of whole segments stay until they are pruned; what counts is behind these.
  const behind = end === null ? first : await readPage(archive, folder, end - 1n, LISTED)
  const last = await findLastPage(archive, folder, behind.found.length > 0 ? behind : first)
  const each = perByte(last.found)
  const newest = last.found.reduce((one, other) => (other.to > one.to ? other : one))
  const span = Number(newest.to - oldest.from)
  // Of a long row of tails its two ends are seen; what lies between counts as stored.
  const reach = (from: Lsn) =>
    behind.whole || behind.found.length === 0 ? chain(behind.found, from) : chain([...behind.found, newest], from, true)
  const estimates = { objects: span * each.objects, bytes: span * each.bytes, listed: false }
  return { ...estimates, behind: behind.whole ? behind.found.length : LISTED, perByte: each, reach, oldest }
}

/** `jump`: the last is reached from wherever the others end. */
function chain(tails: readonly PlacedObject[], from: Lsn, jump = false): { end: Lsn; last: PlacedObject | null } {
  let [end, last]: [Lsn, PlacedObject | null] = [from, null]
  for (const [index, tail] of tails.entries()) {
    if (tail.to <= end) continue
    if (tail.from > end && !(jump && last && index === tails.length - 1)) break
    ;[end, last] = [tail.to, tail]
  }
  return { end, last }
}
