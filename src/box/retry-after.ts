import type { Answer } from './answer.js'

/** Longer than this nobody means it, and WAL is waiting. */
const MAX_MS = 5 * 60_000

/** What `Retry-After` asks for, in seconds or as a date by the box's clock, or null. */
export function retryAfterMs({ headers }: Answer, now: Date): number | null {
  const value = headers['retry-after']?.trim()
  if (!value) return null
  if (/^\d+$/.test(value)) return Math.min(Number(value) * 1000, MAX_MS)
  const at = Date.parse(value)
  if (Number.isNaN(at)) return null
  const boxNow = Date.parse(headers['date'] ?? '') || now.getTime()
  return Math.min(Math.max(at - boxNow, 0), MAX_MS)
}
