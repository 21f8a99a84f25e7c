import { sha12, type Previous } from '../box/key-names.js'
import type { Lsn } from '../wal/lsn.js'

/** Knows of the next segment which one it follows: every name in the box says that, so that no reader mixes two servers. */
export class SegmentChain {
  /**
   * @param end where the next segment begins
   * @param mark what it follows
   */
  constructor(
    public end: Lsn,
    private mark: Previous,
  ) {}

  /** What the segment that begins at `start` follows; null when that is not known (yet). */
  previous(start: Lsn): Previous {
    return start === this.end ? this.mark : null
  }

  /** The segment that ends at `end` has this SHA-256. */
  add(end: Lsn, sha256: Buffer): void {
    this.end = end
    this.mark = sha12(sha256)
  }
}
