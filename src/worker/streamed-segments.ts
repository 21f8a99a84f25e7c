import type { Lsn } from '../wal/lsn.js'
import type { Segment } from '../wal/segment.js'
import type { SegmentRecorder } from './segment-recorder.js'
import type { StoredPosition } from './stored-position.js'
import type { StreamedWal } from './wal-file-store.js'

/** Whoever has the same WAL waits no longer for the stream: posted twice it lands on itself. */
const SETTLED_WITHIN_MS = 60_000

/** What the WAL keeper streams, as seen by whoever else is given the same segments. */
export class StreamedSegments implements StreamedWal {
  /** aborted when the session under way ends; null between two */
  #session: AbortController | null = null

  constructor(
    readonly position: StoredPosition,
    readonly recorder: SegmentRecorder,
  ) {}

  /** A session begins to stream. */
  begin(): void {
    this.#session = new AbortController()
  }

  end(): void {
    this.#session?.abort()
    this.#session = null
  }

  /** Resolves when the session under way has stored WAL up to `lsn`, has ended, or is far behind. */
  async settled(timeline: number, lsn: Lsn, signal: AbortSignal): Promise<void> {
    if (!this.#session) return
    const ending = AbortSignal.any([signal, this.#session.signal, AbortSignal.timeout(SETTLED_WITHIN_MS)])
    await this.position.reached(timeline, lsn, ending).catch(() => undefined)
    signal.throwIfAborted()
  }

  heldSha256(segment: Segment): Buffer | null {
    return this.recorder.heldSha256(segment)
  }
}
