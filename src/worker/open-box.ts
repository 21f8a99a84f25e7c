import type { Box, Part } from '../box/box.js'
import type { Grant } from '../box/grant.js'
import { counting, countsOf, keyKind, type PostCounts } from '../box/post-counts.js'
import { createHttpBox } from '../box/http-box.js'
import { refreshing } from '../box/refreshing.js'
import { retrying } from '../box/retrying.js'
import type { Throttle } from '../box/throttle.js'
import type { Catalog } from '../catalog/catalog.js'
import { asPostboxError } from '../errors.js'

export interface OpenBoxOptions {
  /** throws `grant_missing` */
  grant: () => Grant
  refresh: (signal: AbortSignal) => Promise<boolean>
  connections: number
  throttle: Throttle
  ca: string | undefined
  /** where trouble is shown */
  catalog: Catalog
  /** how far the box's clock is ahead */
  onClock?: (skewMs: number) => void
  /** where requests are counted */
  counts: PostCounts
}

/** The box as the worker uses it: tries again, with a newer grant where that may help, and says what troubles it. */
export function openBox(options: OpenBoxOptions): Box & AsyncDisposable {
  const { grant, refresh, connections, throttle, ca, catalog, onClock, counts } = options
  const http = createHttpBox({ grant, connections, throttle, onClock, ...(ca === undefined ? {} : { ca }) })
  const onRetry = ({ key }: Part) => {
    countsOf(counts, keyKind(key)).retries += 1
  }
  const box = retrying(reporting(refreshing(counting(http, counts), refresh), catalog), undefined, onRetry)
  return { ...box, [Symbol.asyncDispose]: () => http.close() }
}

/** What lasts no longer than this is nobody's concern. */
const PASSING_MS = 10_000

/**
 * What the box fails with stands in backup.checks until it works again: at once when waiting does not heal it, else
 * when it lasts.
 */
function reporting(inner: Box, catalog: Catalog): Box {
  let troubledSinceMs: number | null = null
  // A box before this one may have left its trouble there.
  let reported = true
  return {
    post: async (part, signal) => {
      try {
        const receipt = await inner.post(part, signal)
        troubledSinceMs = null
        if (reported) {
          reported = false
          await catalog.reportProblem('box', null).catch(() => undefined)
        }
        return receipt
      } catch (thrown) {
        if (signal.aborted) throw thrown
        const error = asPostboxError(thrown)
        troubledSinceMs ??= performance.now()
        if (!error.retryable || performance.now() - troubledSinceMs >= PASSING_MS) {
          reported = true
          await catalog.reportProblem('box', error).catch(() => undefined)
        }
        throw thrown
      }
    },
  }
}
