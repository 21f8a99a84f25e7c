import type { Lsn } from '../wal/lsn.js'

const MINUTE_MS = 60_000
/** A day of minutes. */
const MINUTES = 1440

/** What happened to WAL in one minute. */
export interface WalMinute {
  /** when it began, in milliseconds since 1970 */
  at: number
  /** WAL that was stored, before compression; null: not known */
  bytes: number | null
  /** age of the oldest WAL that was not stored yet, at its worst; null: not known */
  seconds: number | null
}

/** How much WAL was stored in each minute of the last day, and how long it waited: in memory alone, so that it makes no WAL. */
export class WalHistory {
  /** from when on it is known how much was stored: rows may tell of the time before this process */
  knownFrom: number
  /** rows were asked for that time */
  filled = false
  readonly #minutes = new Float64Array(MINUTES).fill(Number.NaN)
  readonly #bytes = new Float64Array(MINUTES)
  readonly #seconds = new Float64Array(MINUTES)
  #ignoredBeforeMs = Number.NEGATIVE_INFINITY
  #place: { timeline: number; lsn: Lsn } | null = null

  /** @param startedAt from when on it is told what happens */
  constructor(readonly startedAt = Date.now()) {
    this.knownFrom = startedAt
  }

  /** WAL of the timeline is stored up to `lsn`. What is stored once more, as after a broken connection, counts once. */
  stored(timeline: number, lsn: Lsn, atMs = Date.now()): void {
    const last = this.#place
    if (last?.timeline === timeline && lsn <= last.lsn) return
    if (last?.timeline === timeline) this.#bytes[this.#slot(atMs)]! += Number(lsn - last.lsn)
    this.#place = { timeline, lsn }
  }

  /** The oldest WAL that is not stored has waited for so long; 0: none waits. The minutes before have then seen it wait, too. */
  waits(waitedSeconds: number, atMs = Date.now()): void {
    const seconds = Math.min(waitedSeconds, Math.max(0, (atMs - this.#ignoredBeforeMs) / 1000))
    const since = Math.max(atMs - seconds * 1000, atMs - (MINUTES - 1) * MINUTE_MS)
    for (let end = atMs; ; end = Math.floor(end / MINUTE_MS) * MINUTE_MS - 1) {
      const slot = this.#slot(end)
      const waited = Math.max(0, seconds - (atMs - end) / 1000)
      // NaN: nothing was known of that minute.
      if (!(this.#seconds[slot]! >= waited)) this.#seconds[slot] = waited
      if (Math.floor(end / MINUTE_MS) <= Math.floor(since / MINUTE_MS)) return
    }
  }

  /** WAL that was there before the first of all workers waited for nobody. */
  ignoreBefore(atMs: number): void {
    this.#ignoredBeforeMs = atMs
  }

  /** What rows tell of the time before this process, of which all is known since `from`. */
  fill(from: number, rows: readonly { at: number; bytes: number }[], nowMs = Date.now()): void {
    this.filled = true
    this.knownFrom = Math.min(from, this.startedAt)
    const held = rows.filter(({ at }) => at >= from && at > nowMs - MINUTES * MINUTE_MS)
    for (const { at, bytes } of held) this.#bytes[this.#slot(at)]! += bytes
  }

  /** The last day up to now, minute by minute. */
  minutes(nowMs = Date.now()): WalMinute[] {
    const last = Math.floor(nowMs / MINUTE_MS)
    return Array.from({ length: MINUTES }, (_, index) => {
      const minute = last - MINUTES + 1 + index
      const slot = minute % MINUTES
      const isHeld = this.#minutes[slot] === minute
      const at = minute * MINUTE_MS
      const bytes = at + MINUTE_MS > this.knownFrom ? (isHeld ? this.#bytes[slot]! : 0) : null
      const seconds = isHeld ? this.#seconds[slot]! : Number.NaN
      return { at, bytes, seconds: Number.isNaN(seconds) ? null : seconds }
    })
  }

  /** Where a minute is held, emptied of the one that was there a day before. */
  #slot(atMs: number): number {
    const minute = Math.floor(atMs / MINUTE_MS)
    const slot = minute % MINUTES
    if (this.#minutes[slot] !== minute) {
      this.#minutes[slot] = minute
      this.#bytes[slot] = 0
      this.#seconds[slot] = Number.NaN
    }
    return slot
  }
}
