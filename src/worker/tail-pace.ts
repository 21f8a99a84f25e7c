/** A tail with less than this is little, and may wait for more. */
const LITTLE_BYTES = 64 * 1024
/** A slow server's tails come this many times less often, at most. */
const SLOWEST = 5
/** After such a pause the next bytes are the first, and soon stored. */
const QUIET_MS = 30_000

/**
 * How long to wait before the next tail: the interval, longer while little happens, so that a slow server costs few
 * requests; nothing at all when somebody waits for each.
 */
export class TailPace {
  #factor = 1
  #lastAtMs = Number.NEGATIVE_INFINITY

  /** Milliseconds from now until a tail may be posted. `intervalMs` 0: at once. */
  delayMs(nowMs: number, intervalMs: number): number {
    if (nowMs - this.#lastAtMs > QUIET_MS) this.#factor = 1
    return intervalMs * this.#factor
  }

  posted(nowMs: number, rawBytes: number): void {
    this.#lastAtMs = nowMs
    this.#factor = rawBytes >= LITTLE_BYTES ? 1 : Math.min(this.#factor * 2, SLOWEST)
  }
}
