import type { Lsn } from '../wal/lsn.js'

/**
 * Up to where WAL is in the box without a gap: whole segments in order, then the tails of the one under way.
 *
 * A tail counts only when every segment before it is stored, whatever was posted first.
 */
export class DurablePosition {
  #wholeTo: Lsn
  #tailSegment: Lsn = 0n
  #tailTo: Lsn = 0n

  /** @param wholeTo first byte that is not known to be stored; the beginning of a segment */
  constructor(wholeTo: Lsn) {
    this.#wholeTo = wholeTo
  }

  storedWhole(end: Lsn): void {
    this.#wholeTo = end
  }

  /** The segment that begins at `segment` is stored by its tails up to `to`. */
  storedTail(segment: Lsn, to: Lsn): void {
    this.#tailSegment = segment
    this.#tailTo = to
  }

  get lsn(): Lsn {
    const counts = this.#tailSegment <= this.#wholeTo && this.#tailTo > this.#wholeTo
    return counts ? this.#tailTo : this.#wholeTo
  }
}
