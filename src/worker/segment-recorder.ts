import type { Catalog } from '../catalog/catalog.js'
import type { Lsn } from '../wal/lsn.js'
import type { Segment } from '../wal/segment.js'
import { OwnTransactions } from './own-transactions.js'
import type { StoredSegment } from './segment-store.js'

/** The server keeps the WAL of held segments, so that there must be few. An idle server makes two or three. */
const HELD_AT_MOST = 8

/** Stored segments that have no row yet. Outlives the catalog that they are for: another server may hold it next. */
export class HeldSegments {
  /** whose WAL it is; known once the server was asked */
  systemIdentifier = ''
  segments: StoredSegment[] = []
}

/** Writes the rows of stored segments, so that an idle database settles (own-transactions.ts). */
export class SegmentRecorder {
  readonly #own = new OwnTransactions()
  /** what was held for the catalog before this one, until it was looked at */
  #inherited: readonly StoredSegment[]

  /** called when what was held has its rows */
  onRecorded: () => void = () => undefined

  constructor(
    readonly catalog: Catalog,
    readonly held: HeldSegments,
  ) {
    this.#inherited = [...held.segments]
  }

  wroteAllOf(segment: Buffer): boolean {
    return this.#own.wroteAllOf(segment)
  }

  /** Where the first segment begins that is stored and has no row; null when there is none. */
  get heldFrom(): Lsn | null {
    return this.held.segments[0]?.segment.start ?? null
  }

  /** SHA-256 of a segment that is stored and has no row; null when it is none of those. */
  heldSha256({ timeline, start }: Segment): Buffer | null {
    return (
      this.held.segments.find(({ segment }) => segment.timeline === timeline && segment.start === start)?.sha256 ?? null
    )
  }

  /** Records the segment and those held before it; holds it when nobody but us wrote in it. */
  async record(segment: StoredSegment, ownOnly: boolean): Promise<void> {
    this.held.segments.push(segment)
    if (!ownOnly || this.held.segments.length > HELD_AT_MOST) await this.recordHeld()
  }

  /** Writes what is held now; nothing happens when nothing is. */
  async recordHeld(): Promise<void> {
    if (this.#inherited.length > 0) await this.#forgetDetached()
    const segments = [...this.held.segments]
    if (segments.length === 0) return
    this.#own.add(await this.catalog.recordSegments(this.held.systemIdentifier, segments.map(toRow)))
    // Others may have come meanwhile, or these may be recorded already: the same row twice is one.
    this.held.segments = this.held.segments.filter((one) => !segments.includes(one))
    this.onRecorded()
  }

  /**
   * Lets go of what was inherited and does not go on from where the rows end: a server took over that never heard of the
   * rows between.
   *
   * Rows behind a hole would show a gap where none is. The segments are in the box as those between are; what of all that
   * happened on this server, too, comes again from there.
   */
  async #forgetDetached(): Promise<void> {
    const inherited = this.#inherited
    const { timeline, start } = inherited[0]!.segment
    const rowsEnd = await this.catalog.walCoveredTo(this.held.systemIdentifier, timeline)
    if (rowsEnd !== null && rowsEnd < start) {
      this.held.segments = this.held.segments.filter((one) => !inherited.includes(one))
    }
    this.#inherited = []
  }
}

/** A stored segment as its row. */
export function toRow(stored: StoredSegment): Parameters<Catalog['recordSegments']>[1][number] {
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
