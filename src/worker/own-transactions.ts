import { transactionEnds } from '../wal/commit-times.js'

/** Enough for every segment that can be on its way. */
const REMEMBERED = 1000

/**
 * Knows which transactions wrote Postbox's own rows about WAL.
 *
 * Recording a segment writes WAL; with archive_timeout that WAL soon is a segment itself, whose row would be WAL again,
 * for ever. A segment in which nothing but our own rows was committed is therefore recorded together with the next one
 * that holds somebody else's work.
 */
export class OwnTransactions {
  readonly #xids = new Set<number>()

  add(xid: number): void {
    this.#xids.add(xid)
    if (this.#xids.size > REMEMBERED) this.#xids.delete(this.#xids.values().next().value!)
  }

  /** Whether all that was committed in the segment is ours; false when nothing was committed at all. */
  wroteAllOf(segment: Buffer): boolean {
    let some = false
    for (const { xid } of transactionEnds(segment)) {
      if (!this.#xids.has(xid)) return false
      some = true
    }
    return some
  }
}
