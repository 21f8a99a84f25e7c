import type { Lsn } from '../wal/lsn.js'

interface Waiter {
  timeline: number
  lsn: Lsn
  resolve: () => void
}

/** How far WAL lies in the box without a gap, and who waits for it to get further. */
export class StoredPosition {
  #timeline = 0
  #lsn: Lsn = 0n
  #waiters: Waiter[] = []

  advance(timeline: number, lsn: Lsn): void {
    this.#timeline = timeline
    this.#lsn = lsn
    const reached = this.#waiters.filter((waiter) => this.#has(waiter))
    this.#waiters = this.#waiters.filter((waiter) => !reached.includes(waiter))
    for (const waiter of reached) waiter.resolve()
  }

  /** Resolves when WAL of the timeline, or of a later one, is stored up to `lsn`. Rejects with the signal's reason. */
  reached(timeline: number, lsn: Lsn, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      signal.throwIfAborted()
      const leave = () => {
        this.#waiters = this.#waiters.filter((other) => other !== waiter)
        reject(signal.reason as Error)
      }
      const arrive = () => {
        signal.removeEventListener('abort', leave)
        resolve()
      }
      const waiter = { timeline, lsn, resolve: arrive }
      if (this.#has(waiter)) {
        resolve()
        return
      }
      this.#waiters.push(waiter)
      signal.addEventListener('abort', leave, { once: true })
    })
  }

  #has({ timeline, lsn }: Waiter): boolean {
    return this.#timeline > timeline || (this.#timeline === timeline && this.#lsn >= lsn)
  }
}
