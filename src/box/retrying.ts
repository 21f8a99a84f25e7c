import { setTimeout as delay } from 'node:timers/promises'
import pRetry from 'p-retry'
import { PostboxError, type ErrorCode } from '../errors.js'
import type { Box, Part } from './box.js'

export interface RetryPolicy {
  /** tries after the first, for what may heal by waiting */
  retries: number
  /** before the first retry; doubled each time, with up to as much again by chance */
  minDelayMs: number
  maxDelayMs: number
}

/** A minute or two of trying; a job or the WAL keeper begins anew after that. */
const DEFAULT_POLICY: RetryPolicy = { retries: 8, minDelayMs: 250, maxDelayMs: 30_000 }

/** What waiting does not heal is tried again this often only. */
const RETRIES_BY_CODE: Partial<Record<ErrorCode, number>> = {
  // Once may be a flipped bit on the way; twice is a broken machine.
  box_damaged: 1,
  box_answer_wrong: 2,
}

/**
 * Posts again, later, what failed but may succeed; a `Retry-After` is waited for. Errors that are not `retryable` pass
 * at once, and so does the signal's reason.
 */
export function retrying(inner: Box, policy: RetryPolicy = DEFAULT_POLICY, onRetry?: (part: Part) => void): Box {
  return {
    post: (part, signal) => {
      const failures = new Map<ErrorCode, number>()
      return pRetry(() => inner.post(part, signal), {
        retries: policy.retries,
        minTimeout: policy.minDelayMs,
        maxTimeout: policy.maxDelayMs,
        randomize: true,
        signal,
        shouldRetry: async ({ error, retryDelay }) => {
          if (!(error instanceof PostboxError) || !error.retryable) return false
          const seen = (failures.get(error.code) ?? 0) + 1
          failures.set(error.code, seen)
          if (seen > (RETRIES_BY_CODE[error.code] ?? policy.retries)) return false
          // The library waits `retryDelay` itself, afterwards.
          const more = (error.retryAfterMs ?? 0) - retryDelay
          // When that is cut short the library sees the signal too, and gives its reason.
          if (more > 0) await delay(more, undefined, { signal }).catch(() => undefined)
          onRetry?.(part)
          return true
        },
      })
    },
  }
}
