import { describe, expect, test } from 'vitest'
import { createThrottle, type ThrottleClock } from '../../src/box/throttle.js'

/** Time that passes only when told to. */
class FakeClock implements ThrottleClock {
  #now = 0
  #timers: { at: number; callback: () => void }[] = []

  nowMs(): number {
    return this.#now
  }

  after(ms: number, callback: () => void): () => void {
    const timer = { at: this.#now + ms, callback }
    this.#timers.push(timer)
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer)
    }
  }

  async pass(ms: number): Promise<void> {
    const end = this.#now + ms
    for (;;) {
      await settled()
      const next = this.#timers.toSorted((a, b) => a.at - b.at)[0]
      if (!next || next.at > end) break
      this.#now = next.at
      this.#timers = this.#timers.filter((other) => other !== next)
      next.callback()
    }
    this.#now = end
  }

  get timers(): number {
    return this.#timers.length
  }
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
const never = new AbortController().signal
const calm = { signal: never, urgent: false }
const urgent = { signal: never, urgent: true }

/** Takes piece after piece, and tells how many bytes went by. */
function taker(throttle: ReturnType<typeof createThrottle>, piece: number): { bytes: () => number } {
  let bytes = 0
  void (async () => {
    for (;;) {
      await throttle.take(piece, calm)
      bytes += piece
    }
  })()
  return { bytes: () => bytes }
}

describe('a throttle', () => {
  test('lets its rate through, whatever the size of the pieces', async () => {
    for (const piece of [1000, 100_000, 3_000_000]) {
      const clock = new FakeClock()
      const taken = taker(createThrottle(1_000_000, clock), piece)
      await clock.pass(60_000)
      expect(taken.bytes()).toBeGreaterThanOrEqual(60_000_000 - piece)
      expect(taken.bytes()).toBeLessThanOrEqual(60_000_000 + 250_000 + 2 * piece)
    }
  })

  test('shares its rate among all who wait, first come first served', async () => {
    const clock = new FakeClock()
    const throttle = createThrottle(1_000_000, clock)
    const takers = [taker(throttle, 50_000), taker(throttle, 50_000), taker(throttle, 50_000)]
    await clock.pass(10_000)
    for (const one of takers) expect(Math.abs(one.bytes() - 10_250_000 / 3)).toBeLessThan(150_000)
  })

  test('holds nobody back at rate 0', async () => {
    const throttle = createThrottle(0, new FakeClock())
    for (let i = 0; i < 100; i++) await throttle.take(1_000_000_000, calm)
    expect(throttle.bytesPerSecond).toBe(0)
  })

  test('saves up no more than a quarter of a second', async () => {
    const clock = new FakeClock()
    const throttle = createThrottle(1_000_000, clock)
    await clock.pass(3_600_000)
    const taken = taker(throttle, 10_000)
    await settled()
    await settled()
    await clock.pass(0)
    expect(taken.bytes()).toBeLessThanOrEqual(260_000)
  })

  test('lets urgent bytes through at once, and the others wait for them', async () => {
    const clock = new FakeClock()
    const throttle = createThrottle(1_000_000, clock)
    const taken = taker(throttle, 10_000)
    await clock.pass(1000)
    const before = taken.bytes()
    await throttle.take(2_000_000, urgent)
    await clock.pass(1900)
    expect(taken.bytes() - before).toBeLessThanOrEqual(20_000)
    await clock.pass(1100)
    expect(taken.bytes() - before).toBeGreaterThan(900_000)
  })

  test('never lets urgent bytes starve the others for more than five seconds', async () => {
    const clock = new FakeClock()
    const throttle = createThrottle(1_000_000, clock)
    const taken = taker(throttle, 10_000)
    await clock.pass(1000)
    const before = taken.bytes()
    await throttle.take(1_000_000_000, urgent)
    await clock.pass(6000)
    expect(taken.bytes() - before).toBeGreaterThan(900_000)
  })

  test('goes faster and slower at once when its rate changes', async () => {
    const clock = new FakeClock()
    const throttle = createThrottle(1000, clock)
    const taken = taker(throttle, 100_000)
    await clock.pass(1000)
    throttle.setRate(1_000_000)
    await clock.pass(10_000)
    const fast = taken.bytes()
    expect(fast).toBeGreaterThan(9_000_000)
    throttle.setRate(10_000)
    await clock.pass(10_000)
    expect(taken.bytes() - fast).toBeLessThanOrEqual(300_000)
  })

  test('lets everybody go when its limit is taken away', async () => {
    const throttle = createThrottle(10, new FakeClock())
    const waiting = Promise.all([1, 2, 3].map(() => throttle.take(1_000_000, calm)))
    throttle.setRate(0)
    await expect(waiting).resolves.toHaveLength(3)
  })

  test('rejects with the reason when a wait is aborted, and takes nothing for it', async () => {
    const clock = new FakeClock()
    const throttle = createThrottle(1000, clock)
    await throttle.take(10_000, calm)
    const stop = new AbortController()
    const given = throttle.take(1_000_000_000, { signal: stop.signal, urgent: false })
    given.catch(() => undefined)
    let next = false
    void throttle.take(1000, calm).then(() => (next = true))
    stop.abort(new Error('stopped'))
    await expect(given).rejects.toThrow('stopped')
    await clock.pass(10_001)
    await settled()
    expect(next).toBe(true)
    expect(clock.timers).toBe(0)
    await expect(throttle.take(1, { signal: stop.signal, urgent: true })).rejects.toThrow('stopped')
  })
})
