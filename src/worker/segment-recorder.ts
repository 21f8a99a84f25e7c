import type { Catalog } from '../catalog/catalog.js'
import { OwnTransactions } from './own-transactions.js'
import type { StoredSegment } from './segment-store.js'

/** Writes the rows of stored segments, so that an idle database settles (own-transactions.ts). */
export class SegmentRecorder {
  readonly #own = new OwnTransactions()
  #held: StoredSegment[] = []

  /** whose WAL it is; known once the server was asked */
  systemIdentifier = ''

  constructor(readonly catalog: Catalog) {}

  wroteAllOf(segment: Buffer): boolean {
    return this.#own.wroteAllOf(segment)
  }

  /** Records the segment and those held before it; holds it when it has nothing but our own rows. */
  async record(segment: StoredSegment, ownOnly: boolean): Promise<void> {
    this.#held.push(segment)
    if (!ownOnly) await this.recordHeld()
  }

  /** Writes what is held now; nothing happens when nothing is. */
  async recordHeld(): Promise<void> {
    const segments = this.#held
    if (segments.length === 0) return
    this.#held = []
    try {
      this.#own.add(await this.catalog.recordSegments(this.systemIdentifier, segments.map(toRow)))
    } catch (thrown) {
      this.#held = [...segments, ...this.#held]
      throw thrown
    }
  }
}

function toRow(stored: StoredSegment): Parameters<Catalog['recordSegments']>[1][number] {
  return {
    timeline: stored.segment.timeline,
    start_lsn: stored.segment.start,
    segment_bytes: stored.segmentBytes,
    key: stored.key,
    bytes: stored.bytes,
    sha256: stored.sha256,
    last_commit_at: stored.lastCommitAt,
  }
}
