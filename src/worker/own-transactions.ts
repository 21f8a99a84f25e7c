import { everyXid } from '../wal/records.js'

/** Enough for every segment that can be on its way. */
const REMEMBERED = 1000

/** The xid of records that belong to no transaction: checkpoints, hints, what vacuum cleaned up. */
const NO_TRANSACTION = 0

/**
 * Knows which transactions wrote Postbox's own rows about WAL.
 *
 * Recording a segment writes WAL; with archive_timeout that WAL soon is a segment itself, whose row would be WAL again,
 * for ever. So would the checkpoint that each row calls for. A segment in which nobody else wrote is therefore recorded
 * together with the next one that holds somebody else's work.
 */
export class OwnTransactions {
  readonly #xids = new Set<number>()

  add(xid: number): void {
    this.#xids.add(xid)
    if (this.#xids.size > REMEMBERED) this.#xids.delete(this.#xids.values().next().value!)
  }

  /** Whether no transaction but ours wrote anything in the segment. */
  wroteAllOf(segment: Buffer): boolean {
    return everyXid(segment, (xid) => xid === NO_TRANSACTION || this.#xids.has(xid))
  }
}
