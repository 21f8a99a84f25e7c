import { previousOfFirst, type Previous } from '../box/key-names.js'
import type { Lsn } from '../wal/lsn.js'
import type { SegmentContents } from './stored-wal.js'

/** A segment that cannot be taken for granted: it has several contents, or does not follow the one in front of it. */
export interface ForkedSegment {
  start: Lsn
  contents: SegmentContents
  /** mark of the segment in front; null when that has several contents, or is not stored */
  before: string | null
}

/**
 * Finds, in a listing of one timeline, the segments where what is stored parts in two, and those that begin a run.
 *
 * Memory grows with these, not with segments.
 */
export class ForkFinder {
  readonly forked = new Map<Lsn, ForkedSegment>()
  #front: { end: Lsn; contents: SegmentContents } | null = null

  constructor(readonly segmentBytes: number) {}

  add(start: Lsn, contents: SegmentContents): void {
    const front = this.#front?.end === start ? this.#front.contents : []
    const before = front.length === 1 ? front[0]!.mark : null
    const [only, other] = contents
    const plain = !other && before !== null && follows(only!.previous, before) !== false
    if (!plain) this.forked.set(start, { start, contents, before })
    this.#front = { end: start + BigInt(this.segmentBytes), contents }
  }
}

/**
 * Whether WAL with this `previous` goes on from the segment in front; null when that cannot be told.
 *
 * `before`: that segment's mark, null when it is not known. `historyMark`: of the timeline that begins here, if one does.
 */
export function follows(previous: Previous, before: string | null, historyMark: string | null = null): boolean | null {
  if (previous === null) return null
  if (historyMark !== null) {
    // It names no segment, so that it is no better than one that names a segment which is not known.
    if (previous === previousOfFirst(null, historyMark)) return before === null ? null : true
    return before === null ? null : previous === previousOfFirst(before, historyMark)
  }
  return before === null ? null : previous === before
}
