import type { Lsn } from '../../wal/lsn.js'
import type { SegmentContents, StoredSegment } from '../stored-wal.js'
import { follows } from '../wal-forks.js'

/** Which content of a segment the catalog shows, and the others that are there. */
export interface SegmentChoice {
  taken: StoredSegment | null
  others: StoredSegment[]
}

/**
 * Goes along the segments of one timeline and, where two servers wrote them, stays with one server: the one whose segment
 * was stored first where they part. Memory does not grow.
 */
export class SegmentChoices {
  #end: Lsn | null = null
  #taken: string | null = null
  /** marks of what is there and was not taken in the segment in front */
  #others = new Set<string>()

  constructor(readonly segmentBytes: number) {}

  /** @param contents what was stored first in front */
  choose(start: Lsn, contents: SegmentContents): SegmentChoice {
    const isNext = this.#end === start
    const before = isNext ? this.#taken : null
    const others = isNext ? this.#others : new Set<string>()
    const isOthers = ({ previous }: StoredSegment) => previous !== null && previous !== before && others.has(previous)
    const possible = contents.filter((one) => !isOthers(one) && follows(one.previous, before) !== false)
    // What says that it follows goes before what does not say so.
    const taken = possible.find((one) => follows(one.previous, before) === true) ?? possible[0] ?? null
    this.#end = start + BigInt(this.segmentBytes)
    this.#taken = taken?.mark ?? null
    this.#others = new Set(contents.filter((one) => one !== taken).map(({ mark }) => mark))
    return { taken, others: contents.filter((one) => one !== taken) }
  }
}
