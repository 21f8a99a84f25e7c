import { asPostboxError, PostboxError } from '../errors.js'
import type { Box } from './box.js'

/** What a newer grant may heal. */
const HEALED_BY_GRANT = ['grant_expired', 'grant_refused', 'clock_skew']

/**
 * Gets a newer grant when the box says that this one is over, and posts once more.
 *
 * `refresh` resolves to whether there is a newer one; parts that fail together share one call.
 */
export function refreshing(inner: Box, refresh: (signal: AbortSignal) => Promise<boolean>): Box {
  let refreshed = 0
  let running: Promise<boolean> | null = null

  /** True when the grant is newer than it was at `before`. */
  async function newerThan(before: number, signal: AbortSignal): Promise<boolean> {
    // Whoever asked first may give up; the next one asks for itself then.
    while (running) await running.catch(() => undefined)
    if (refreshed !== before) return true
    signal.throwIfAborted()
    running = refresh(signal)
    try {
      const newer = await running
      if (newer) refreshed++
      return newer
    } finally {
      running = null
    }
  }

  return {
    post: async (part, signal) => {
      const before = refreshed
      try {
        return await inner.post(part, signal)
      } catch (thrown) {
        if (!(thrown instanceof PostboxError) || !HEALED_BY_GRANT.includes(thrown.code)) throw thrown
        if (!(await newerThan(before, signal).catch((cause: unknown) => fail(thrown, cause, signal)))) throw thrown
        return await inner.post(part, signal)
      }
    },
  }
}

/** The box's word stays the error; why there is no newer grant is what the operator can mend. */
function fail(refused: PostboxError, cause: unknown, signal: AbortSignal): never {
  signal.throwIfAborted()
  const error = asPostboxError(cause)
  throw new PostboxError(
    refused.code,
    refused.message,
    `No newer grant could be had: ${error.message}. ${error.hint}`,
    {
      cause,
    },
  )
}
