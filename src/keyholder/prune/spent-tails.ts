import { createHash } from 'node:crypto'
import { sha12, type Previous } from '../../box/key-names.js'
import { parseSegmentName } from '../../wal/segment.js'
import type { Archive } from '../archive.js'
import { damageAsNull } from '../damage.js'
import { readSegment, type StoredSegment } from '../stored-wal.js'

/** A tail, by what it follows, the end of its range and its mark. */
export interface TailMark {
  key: string
  previous: Previous
  to: bigint
  mark: string
}

/**
 * Those of a segment's tails whose bytes its object holds: the object is read, and every byte up to the tail's end hashed.
 *
 * One that says of what it follows something else than the object may be wanted where that is not. None when the object is damaged: then the tails are the only copy.
 */
export async function heldTails(
  archive: Archive,
  segment: StoredSegment,
  segmentBytes: number,
  tails: readonly TailMark[],
): Promise<Set<string>> {
  const held = new Set<string>()
  const raw = await readSegment(archive, segment, segmentBytes).catch(damageAsNull)
  if (raw?.length !== segmentBytes) return held
  const { start } = parseSegmentName(segment.name, segmentBytes)
  const hash = createHash('sha256')
  let hashed = 0
  for (const { key, previous, to, mark } of [...tails].sort((a, b) => (a.to < b.to ? -1 : 1))) {
    const end = Number(to - start)
    if (previous !== segment.previous || end < hashed || end > raw.length) continue
    hash.update(raw.subarray(hashed, end))
    hashed = end
    if (sha12(hash.copy().digest()) === mark) held.add(key)
  }
  return held
}
