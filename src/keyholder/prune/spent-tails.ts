import { createHash } from 'node:crypto'
import { sha12 } from '../../box/key-names.js'
import { parseSegmentName } from '../../wal/segment.js'
import type { Archive } from '../archive.js'
import { damageAsNull } from '../damage.js'
import { readSegment, type StoredSegment } from '../stored-wal.js'

/** A tail, by the end of its range and its mark. */
export interface TailMark {
  key: string
  to: bigint
  mark: string
}

/**
 * Those of a segment's tails whose bytes its object holds: the object is read, and every byte up to the tail's end hashed.
 *
 * None when the object is damaged: then the tails are the only copy.
 */
export async function heldTails(
  archive: Archive,
  segment: StoredSegment,
  segmentBytes: number,
  tails: readonly TailMark[],
): Promise<Set<string>> {
  const held = new Set<string>()
  const raw = await readSegment(archive, segment).catch(damageAsNull)
  if (raw?.length !== segmentBytes) return held
  const { start } = parseSegmentName(segment.name, segmentBytes)
  const hash = createHash('sha256')
  let hashed = 0
  for (const { key, to, mark } of [...tails].sort((a, b) => (a.to < b.to ? -1 : 1))) {
    const end = Number(to - start)
    if (end < hashed || end > raw.length) continue
    hash.update(raw.subarray(hashed, end))
    hashed = end
    if (sha12(hash.copy().digest()) === mark) held.add(key)
  }
  return held
}
