import { setTimeout as delay } from 'node:timers/promises'

const POLL_MS = 25

/**
 * Polls until `fn` gives something truthy, and gives that.
 *
 * A throw counts as "not yet": it is kept and becomes the cause when the time is over. `what` completes "timed out
 * waiting until …".
 */
export async function until<T>(what: string, fn: () => T | Promise<T>, timeoutMs = 30_000): Promise<NonNullable<T>> {
  const endsAt = performance.now() + timeoutMs
  for (;;) {
    let thrown: unknown
    try {
      const value = await fn()
      if (value) return value
    } catch (error) {
      thrown = error
    }
    if (performance.now() >= endsAt) {
      const last = thrown instanceof Error ? `; last error: ${thrown.message}` : ''
      throw new Error(`timed out after ${timeoutMs} ms waiting until ${what}${last}`, { cause: thrown })
    }
    await delay(POLL_MS)
  }
}
