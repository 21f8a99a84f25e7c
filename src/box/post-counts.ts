import { asPostboxError, type ErrorCode } from '../errors.js'
import type { Box } from './box.js'

/** What is posted, by its place in the bucket. */
export type KeyKind = 'segment' | 'tail' | 'history' | 'base' | 'dump' | 'other'

/** Upper bounds of the buckets in which the time of a POST is counted, in seconds; one more is without bound. */
export const POST_BOUNDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60] as const

/** Plain numbers, so that they pass between threads and cost nothing to count. */
export interface KindCounts {
  /** requests by how they ended: stored, canceled, or the code of the error */
  outcomes: Partial<Record<ErrorCode | 'stored' | 'canceled', number>>
  /** of what was stored */
  bytes: number
  retries: number
  /** of all requests, one more than there are bounds */
  buckets: number[]
  seconds: number
}

export type PostCounts = Map<KeyKind, KindCounts>

/** What part of the bucket a key is in. */
export function keyKind(key: string): KeyKind {
  const place = /^[^/]+\/\d+\/(wal|tail|base|dump)\/(?:[0-9A-F]{8}(\.history-)?)?/.exec(key)
  if (place?.[1] === 'wal') return place[2] ? 'history' : 'segment'
  return (place?.[1] as KeyKind | undefined) ?? 'other'
}

export function countsOf(counts: PostCounts, kind: KeyKind): KindCounts {
  let found = counts.get(kind)
  if (!found) {
    found = { outcomes: {}, bytes: 0, retries: 0, buckets: POST_BOUNDS.map(() => 0), seconds: 0 }
    found.buckets.push(0)
    counts.set(kind, found)
  }
  return found
}

/** Counts each request of a box: wrap the one that tries once. */
export function counting(inner: Box, counts: PostCounts): Box {
  return {
    post: async (part, signal) => {
      const begunAt = performance.now()
      let outcome: keyof KindCounts['outcomes'] = 'stored'
      let stored = 0
      try {
        const receipt = await inner.post(part, signal)
        stored = part.bytes
        return receipt
      } catch (thrown) {
        outcome = signal.aborted ? 'canceled' : asPostboxError(thrown).code
        throw thrown
      } finally {
        const seconds = (performance.now() - begunAt) / 1000
        const at = POST_BOUNDS.findIndex((bound) => seconds <= bound)
        // Looked up now: what was there at the beginning may have been taken.
        const kind = countsOf(counts, keyKind(part.key))
        kind.bytes += stored
        kind.outcomes[outcome] = (kind.outcomes[outcome] ?? 0) + 1
        kind.buckets[at < 0 ? POST_BOUNDS.length : at]! += 1
        kind.seconds += seconds
      }
    },
  }
}

/** Adds what another thread has counted. */
export function addCounts(to: PostCounts, more: PostCounts): void {
  for (const [kind, { outcomes, bytes, retries, buckets, seconds }] of more) {
    const sum = countsOf(to, kind)
    for (const [outcome, number] of Object.entries(outcomes) as [keyof KindCounts['outcomes'], number][]) {
      sum.outcomes[outcome] = (sum.outcomes[outcome] ?? 0) + number
    }
    sum.bytes += bytes
    sum.retries += retries
    sum.seconds += seconds
    for (const [at, number] of buckets.entries()) sum.buckets[at]! += number
  }
}

/** All that was counted since the last time, which begins anew; null when that is nothing. */
export function takeCounts(counts: PostCounts): PostCounts | null {
  if (counts.size === 0) return null
  const taken = new Map(counts)
  counts.clear()
  return taken
}
