import type { WalEnd } from '../catalog/catalog.js'
import type { WalPlace } from './wal-keeper.js'

/** One a second is an hour; older than that, a time need not be exact. */
const REMEMBERED = 3600

/**
 * Tells how old the oldest WAL is that is not stored, from looks at where the primary's WAL ends.
 *
 * The server itself measures that only for whoever streams from it.
 */
export class PrimaryWalAge {
  /** ends of WAL, ascending, each with the first and the last time when it was the end; at most the first is stored */
  #ends: (WalEnd & { untilAt: number })[] = []

  /**
   * Takes a look. Gives since when something is not stored, in seconds from 1970; the time of the look when all is.
   *
   * Too early rather than too late: by the time between two looks, or more for what is old.
   */
  unsafeSince(end: WalEnd, stored: WalPlace): number {
    const last = this.#ends.at(-1)
    if (last?.lsn === end.lsn && last.timeline === end.timeline) last.untilAt = end.at
    else this.#ends.push({ ...end, untilAt: end.at })
    const safe = this.#ends.findLastIndex((one) => isStored(one, stored))
    if (safe > 0) this.#ends.splice(0, safe)
    if (this.#ends.length > REMEMBERED) this.#ends = this.#ends.filter((_, n) => n === 0 || n % 2 === 1)
    if (isStored(end, stored)) return end.at
    const [first] = this.#ends
    return safe < 0 ? first!.at : first!.untilAt
  }
}

/** What a timeline wrote behind the place where it was left is nobody's WAL any more. */
function isStored({ timeline, lsn }: WalPlace, stored: WalPlace): boolean {
  return stored.timeline > timeline || (stored.timeline === timeline && stored.lsn >= lsn)
}
