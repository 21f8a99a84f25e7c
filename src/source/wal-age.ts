import type { Lsn } from '../wal/lsn.js'

/** A moment on the server's clock, as replication messages carry it: microseconds since 2000-01-01 UTC. */
export type ServerTime = bigint

/** Postgres shows it as null. */
export const UNKNOWN: ServerTime = 0n

const POSTGRES_EPOCH_MILLIS = Date.UTC(2000, 0, 1)

/** WAL that came within so short a time counts as old as its first byte. */
const TOGETHER_MICROS = 10_000n
/** Of more some are taken together: what waits for long is known less finely, and as older rather than younger. */
const ARRIVALS_AT_MOST = 2048
/** When so few are left they are told apart again. */
const FEW_ARRIVALS = 64

export const toServerTime = (date: Date): ServerTime => BigInt(date.getTime() - POSTGRES_EPOCH_MILLIS) * 1000n

/** Rounded down to the millisecond. */
export const fromServerTime = (at: ServerTime): Date => new Date(Number(at / 1000n) + POSTGRES_EPOCH_MILLIS)

/**
 * Since when WAL waits that is not stored yet, by the server's own clock.
 *
 * Each message of WAL says where the server's WAL ends and what time it is there. What a reader gets who had everything
 * and waited was written just then; what was written while WAL lay ready for him counts from the message before. So
 * nothing is taken for younger than it is, but for its way here.
 *
 * Outlives streams and sessions: WAL gets no younger by being sent again.
 */
export class WalAge {
  /** WAL from the end of the one before up to `to` waits since `since` */
  #arrivals: { to: Lsn; since: ServerTime }[] = []
  #togetherMicros = TOGETHER_MICROS
  /** the server's end of WAL, and when it was last known to lie there */
  #end: { lsn: Lsn; knownAt: ServerTime } | null = null
  /** WAL before it was there when the first message came */
  #backlogTo: Lsn = 0n
  #backlogSince: ServerTime | null = null
  #firstMessageAt: ServerTime | null = null
  #clock: { at: ServerTime; readMs: number } | null = null
  #timeline: number | null = null

  /** The oldest WAL that is not stored waits since then, as others know. Counts before the first message. */
  startsWith(since: Date): void {
    if (!this.#end) this.#backlogSince ??= toServerTime(since)
  }

  /**
   * The server is on this timeline. Where it was on another one, positions known of that say nothing any more: WAL of the
   * new one may lie at the same, and be younger.
   */
  follow(timeline: number): void {
    const left = this.#timeline !== null && this.#timeline !== timeline
    this.#timeline = timeline
    if (!left) return
    this.#arrivals = []
    this.#end = null
    this.#backlogTo = 0n
    this.#backlogSince = null
    this.#firstMessageAt = null
  }

  /** The server's time, as far as it is known. */
  now(): ServerTime | null {
    if (!this.#clock) return null
    return this.#clock.at + BigInt(Math.round((performance.now() - this.#clock.readMs) * 1000))
  }

  /** The server said what time it is. `waited`: all its WAL had come by then. */
  heard(sentAt: ServerTime, waited: boolean): void {
    this.#clock = { at: sentAt, readMs: performance.now() }
    if (this.#end && waited) this.#end.knownAt = sentAt
  }

  /**
   * WAL came from the server.
   *
   * @param end its end of WAL
   * @param waited whether the reader had all WAL, and waited for this
   */
  came(end: Lsn, sentAt: ServerTime, waited: boolean): void {
    this.#clock = { at: sentAt, readMs: performance.now() }
    if (!this.#end) this.cameOld(end, sentAt)
    else if (end > this.#end.lsn) this.#arrived(end, waited ? sentAt : this.#end.knownAt)
    this.#end = { lsn: end, knownAt: sentAt }
  }

  /** The same of a timeline that was left, which says nothing of the server's end of WAL. */
  cameOld(end: Lsn, sentAt: ServerTime): void {
    this.#clock = { at: sentAt, readMs: performance.now() }
    this.#firstMessageAt ??= sentAt
    if (end > this.#backlogTo) this.#backlogTo = end
  }

  /** A segment is stored, and all before it. What waits behind it was written after its last commit. */
  storedSegment(end: Lsn, lastCommitAt: Date | null): void {
    if (end >= this.#backlogTo || lastCommitAt === null) return
    const at = toServerTime(lastCommitAt)
    if (this.#backlogSince === null || at > this.#backlogSince) this.#backlogSince = at
  }

  /** Since when WAL waits of which all before `stored` is stored; null when none does. */
  since(stored: Lsn): ServerTime | null {
    if (stored < this.#backlogTo) return this.#backlogSince ?? this.#firstMessageAt
    return this.#arrivals.find(({ to }) => to > stored)?.since ?? null
  }

  /** WAL before `stored` is not asked about again. */
  forget(stored: Lsn): void {
    const first = this.#arrivals.findIndex(({ to }) => to > stored)
    this.#arrivals.splice(0, first < 0 ? this.#arrivals.length : first)
    if (this.#arrivals.length < FEW_ARRIVALS) this.#togetherMicros = TOGETHER_MICROS
  }

  #arrived(to: Lsn, since: ServerTime): void {
    this.#add({ to, since })
    while (this.#arrivals.length > ARRIVALS_AT_MOST) {
      this.#togetherMicros *= 2n
      for (const arrival of this.#arrivals.splice(0)) this.#add(arrival)
    }
  }

  #add(arrival: { to: Lsn; since: ServerTime }): void {
    const last = this.#arrivals.at(-1)
    if (last && arrival.since - last.since < this.#togetherMicros) last.to = arrival.to
    else this.#arrivals.push(arrival)
  }
}
