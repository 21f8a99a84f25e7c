/** Slows posting to a rate, changeable while running. */
export interface Throttle {
  /** Waits until `bytes` may be sent. Urgent bytes never wait, but those after them pay. Rejects with the signal's reason. */
  take(bytes: number, options: { signal: AbortSignal; urgent: boolean }): Promise<void>
  /** 0: unlimited. Holds at once, for those who wait too. */
  setRate(bytesPerSecond: number): void
  /** 0 while unlimited */
  readonly bytesPerSecond: number
}

/** Time, so that tests need not wait for it. */
export interface ThrottleClock {
  nowMs(): number
  /** calls back once after `ms`; the answer takes that back */
  after(ms: number, callback: () => void): () => void
}

const systemClock: ThrottleClock = {
  nowMs: () => performance.now(),
  after: (ms, callback) => {
    const timer = setTimeout(callback, ms)
    return () => {
      clearTimeout(timer)
    }
  },
}

/** So much may be sent at once after a pause. */
const BURST_SECONDS = 0.25
/** Urgent bytes are paid back by the others no further than this: S3 ends an upload that is silent for 20 s. */
const DEBT_SECONDS = 5

/** A throttle that lets `bytesPerSecond` through, first come first served; 0 is unlimited. */
export function createThrottle(bytesPerSecond: number, clock: ThrottleClock = systemClock): Throttle {
  return new TokenBucket(bytesPerSecond, clock)
}

interface Waiter {
  bytes: number
  go: () => void
}

class TokenBucket implements Throttle {
  #rate = 0
  /** bytes that may go now; below zero a debt */
  #available = 0
  #filledAtMs: number
  #waiting: Waiter[] = []
  #cancelTimer: () => void = () => undefined

  constructor(
    bytesPerSecond: number,
    readonly clock: ThrottleClock,
  ) {
    this.#filledAtMs = clock.nowMs()
    this.setRate(bytesPerSecond)
  }

  get bytesPerSecond(): number {
    return this.#rate
  }

  setRate(bytesPerSecond: number): void {
    if (bytesPerSecond === this.#rate) return
    this.#fill()
    this.#rate = bytesPerSecond
    this.#available = Math.max(Math.min(this.#available, 0), -DEBT_SECONDS * bytesPerSecond)
    this.#serve()
  }

  take(bytes: number, { signal, urgent }: { signal: AbortSignal; urgent: boolean }): Promise<void> {
    if (signal.aborted) return Promise.reject(signal.reason as Error)
    if (this.#rate === 0) return Promise.resolve()
    this.#fill()
    if (urgent) {
      this.#available = Math.max(this.#available - bytes, -DEBT_SECONDS * this.#rate)
      return Promise.resolve()
    }
    if (this.#waiting.length === 0 && this.#available >= 0) {
      this.#available -= bytes
      return Promise.resolve()
    }
    return this.#wait(bytes, signal)
  }

  #wait(bytes: number, signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<undefined>()
    const waiter: Waiter = {
      bytes,
      go: () => {
        resolve(undefined)
      },
    }
    const leave = (): void => {
      this.#waiting = this.#waiting.filter((other) => other !== waiter)
      reject(signal.reason as Error)
      this.#serve()
    }
    signal.addEventListener('abort', leave, { once: true })
    this.#waiting.push(waiter)
    this.#serve()
    return promise.finally(() => {
      signal.removeEventListener('abort', leave)
    })
  }

  #fill(): void {
    const now = this.clock.nowMs()
    const earned = ((now - this.#filledAtMs) / 1000) * this.#rate
    this.#available = Math.min(this.#available + earned, BURST_SECONDS * this.#rate)
    this.#filledAtMs = now
  }

  /** Lets go whoever may, and wakes up when the next one may. */
  #serve(): void {
    this.#cancelTimer()
    this.#fill()
    while (this.#waiting.length > 0 && (this.#rate === 0 || this.#available >= 0)) {
      const next = this.#waiting.shift()!
      // Paid afterwards, so that a piece larger than the burst gets through too.
      if (this.#rate > 0) this.#available -= next.bytes
      next.go()
    }
    if (this.#waiting.length === 0) return
    const ms = Math.max(1, Math.ceil((-this.#available / this.#rate) * 1000))
    this.#cancelTimer = this.clock.after(ms, () => {
      this.#serve()
    })
  }
}
