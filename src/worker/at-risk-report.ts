import type { Catalog } from '../catalog/catalog.js'
import type { Waiting } from '../source/wal-stream.js'

/** What waits no longer is nobody's concern, and a row is WAL as well. */
const PASSING_MICROS = 10_000_000n
/** In a long trouble the oldest byte may change all the time. */
const ONCE_IN_MS = 60_000

/**
 * Writes down since when WAL waits, while it waits for long: when the worker is killed nobody else could tell.
 */
export class AtRiskReport {
  #reportedFrom: bigint | null = null
  #reportedAtMs = Number.NEGATIVE_INFINITY

  constructor(readonly catalog: Catalog) {}

  /** Called every now and then. Never rejects. */
  async look(waiting: Waiting | null, now: bigint | null): Promise<void> {
    if (!waiting || now === null || now - waiting.since < PASSING_MICROS) return
    if (waiting.from === this.#reportedFrom || performance.now() - this.#reportedAtMs < ONCE_IN_MS) return
    await this.report(waiting)
  }

  /** The same at once, when nobody will stream for a while. */
  async report({ from, since }: Waiting): Promise<void> {
    try {
      await this.catalog.reportAtRisk(from, since)
      this.#reportedFrom = from
      this.#reportedAtMs = performance.now()
    } catch {
      // The database is away, and is asked again.
    }
  }
}
