import type { Lsn } from '../wal/lsn.js'

/** Which bytes of the WAL a tail claims to hold, and since when it is stored. */
export interface TailPlace {
  from: Lsn
  /** behind its last byte */
  to: Lsn
  storedAt: Date
}

/**
 * The tails that lead on from `start` until a byte is missing, in order. Each begins where the last one ended, or before.
 *
 * Where several lead on, the one that was stored first does: whoever holds a grant can store later, but not earlier. How
 * far they lead does not depend on that.
 *
 * `tails`: sorted by `from`.
 */
export function chainOf<Tail extends TailPlace>(tails: readonly Tail[], start: Lsn): Tail[] {
  const chain: Tail[] = []
  let reached = start
  let seen = 0
  let open: Tail[] = []
  for (;;) {
    for (; seen < tails.length && tails[seen]!.from <= reached; seen++) open.push(tails[seen]!)
    open = open.filter((tail) => tail.to > reached)
    const next = open.reduce<Tail | null>((first, tail) => (first && !leads(tail, first) ? first : tail), null)
    if (!next) return chain
    chain.push(next)
    reached = next.to
  }
}

/** Times may have whole seconds only: among equals the longer tail leads, which is fewer requests. */
function leads(tail: TailPlace, other: TailPlace): boolean {
  const [at, otherAt] = [tail.storedAt.getTime(), other.storedAt.getTime()]
  return at === otherAt ? tail.to > other.to : at < otherAt
}
