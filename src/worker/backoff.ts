import { setTimeout as delay } from 'node:timers/promises'

/** Grows from `firstMs` to `longestMs`; whoever succeeds starts it anew. */
export class Backoff {
  #nextMs: number

  constructor(
    readonly firstMs: number,
    readonly longestMs: number,
  ) {
    this.#nextMs = firstMs
  }

  reset(): void {
    this.#nextMs = this.firstMs
  }

  /** Milliseconds to wait now. `atLeastMs` is what the other side asked for. */
  next(atLeastMs = 0): number {
    const ms = Math.max(this.#nextMs, atLeastMs)
    this.#nextMs = Math.min(this.#nextMs * 2, this.longestMs)
    return ms
  }

  /** Waits its turn; returns at once when `signal` is aborted. */
  async wait(signal: AbortSignal, atLeastMs = 0): Promise<void> {
    await delay(this.next(atLeastMs), undefined, { signal }).catch(() => undefined)
  }
}
