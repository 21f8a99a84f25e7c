import type { Box } from '../box/box.js'
import { sha12, type Home } from '../box/key-names.js'
import type { Catalog, WalIdentity } from '../catalog/catalog.js'
import { PostboxError } from '../errors.js'
import type { Lsn } from '../wal/lsn.js'
import { compressFrames } from '../transform/compress.js'
import { FRAME_BYTES } from '../transform/frame-pool.js'
import { checkSegmentHeader } from '../wal/page.js'
import { parseSegmentName, type Segment } from '../wal/segment.js'
import { parseTimelineHistory } from '../wal/timeline-history.js'
import { walFileKind } from '../wal/wal-file.js'
import { SegmentChain } from './segment-chain.js'
import { toRow } from './segment-recorder.js'
import { storeSegment } from './segment-store.js'
import { storeTimelineFile } from './timeline-store.js'

/** A file that Postgres wants archived: a segment or a timeline's history. */
export interface OfferedFile {
  name: string
  bytes: number
  /** its first bytes, as many as a segment's header has */
  head: Buffer
  /** Asked for when the size is right. */
  sha256(): Promise<Buffer>
  /** The bytes of that hash, which stay as they are until they are stored. Asked for only when they are needed. */
  read(): Promise<Buffer>
}

/** `known`: it lies in the box already, so nothing was posted. */
export type ArchiveOutcome = 'stored' | 'known'

/** What the worker streams by itself of the same WAL. */
export interface StreamedWal {
  /** Resolves when the stream has stored WAL up to `lsn`, or will not soon. */
  settled(timeline: number, lsn: Lsn, signal: AbortSignal): Promise<void>
  /** SHA-256 of a segment that is stored and whose row is held back; null when there is none. */
  heldSha256(segment: Segment): Buffer | null
}

export interface WalFileStoreOptions {
  catalog: Catalog
  box: Box
  /** the server's name in the box; throws `grant_missing` while nobody said it */
  server: () => string
  compressionLevel: () => number
  identity: WalIdentity
  /** null without a worker */
  streamed: StreamedWal | null
}

/** A history has a line for each promotion. */
const MAX_HISTORY_BYTES = 1024 * 1024

/**
 * Stores what Postgres's archive_command gives, and what the catalog does not know yet: file stored → its row → done.
 */
export class WalFileStore {
  constructor(readonly options: WalFileStoreOptions) {}

  /**
   * Resolves when the file is in the box and the catalog knows it. A row that the stream holds back is written with the
   * next one: if each were written for the sake of its segment, an idle server would never settle.
   *
   * Throws `wal_invalid` for bytes that are not what the name says, `wal_conflict` when other bytes were stored before,
   * and as catalog and box do.
   */
  async store(file: OfferedFile, signal: AbortSignal): Promise<ArchiveOutcome> {
    // Before anything is posted: a standby would post it again with every try.
    if (this.options.identity.in_recovery) {
      throw new PostboxError(
        'catalog_refused',
        `${file.name} cannot be recorded by a standby`,
        'Set archive_mode to on instead of always, so that the primary archives.',
      )
    }
    const kind = walFileKind(file.name)
    try {
      if (kind === 'segment') return await this.#storeSegment(file, signal)
      if (kind === 'history') return await this.#storeHistory(file, signal)
    } catch (thrown) {
      await this.#reportConflict(thrown)
      throw thrown
    }
    throw new PostboxError('bad_argument', `${file.name} is not stored`, 'Only segments and histories are.')
  }

  /** Shown in backup.checks until the worker begins anew: the server that is in conflict may be another than ours. */
  async #reportConflict(thrown: unknown): Promise<void> {
    if (!(thrown instanceof PostboxError) || thrown.code !== 'wal_conflict') return
    await this.options.catalog.reportProblem('archive', thrown).catch(() => undefined)
  }

  async #storeSegment(file: OfferedFile, signal: AbortSignal): Promise<ArchiveOutcome> {
    const { catalog, streamed, identity, box } = this.options
    const { segment_bytes: segmentBytes, system_identifier: systemIdentifier } = identity
    if (file.bytes !== segmentBytes) throw wrong(file, `has ${file.bytes} bytes instead of ${segmentBytes}`)
    const segment = parseSegmentName(file.name, segmentBytes)
    // Nobody waits for a segment that this server will never write.
    checkSegmentHeader(file.head, segment, segmentBytes, systemIdentifier)

    // The stream has it at the same moment as the archiver, and stores it once for both.
    await streamed?.settled(segment.timeline, segment.start + BigInt(segmentBytes), signal)
    const sha256 = await file.sha256()
    if (await catalog.knowsSegment(systemIdentifier, segment, sha256)) return 'known'
    const held = streamed?.heldSha256(segment) ?? null
    if (held?.equals(sha256)) return 'known'
    if (held) throw conflict(file, held, sha256)

    const raw = { segment, bytes: await file.read(), sha256 }
    const level = this.options.compressionLevel()
    const compress = async (bytes: Buffer) => ({ chunks: await compressFrames(bytes, level, FRAME_BYTES) })
    const chain = await this.#chainTo(segment)
    const store = { home: this.#home, segmentBytes, box, compress, chain }
    const stored = await storeSegment(store, raw, signal)
    await catalog.recordSegments(systemIdentifier, [toRow(stored)])
    return 'stored'
  }

  /** What the segment follows: with its row, or held back by the stream. */
  async #chainTo(segment: Segment): Promise<SegmentChain> {
    const { catalog, streamed, identity } = this.options
    const { segment_bytes: segmentBytes, system_identifier: systemIdentifier } = identity
    const before = { timeline: segment.timeline, start: segment.start - BigInt(segmentBytes) }
    const held = streamed?.heldSha256(before) ?? null
    const mark = held ? sha12(held) : await catalog.previousMark(systemIdentifier, segment, segmentBytes)
    return new SegmentChain(segment.start, mark)
  }

  async #storeHistory(file: OfferedFile, signal: AbortSignal): Promise<ArchiveOutcome> {
    const { catalog, identity } = this.options
    if (file.bytes === 0 || file.bytes > MAX_HISTORY_BYTES) throw wrong(file, `has ${file.bytes} bytes`)
    const timeline = Number.parseInt(file.name.slice(0, 8), 16)
    const content = await file.read()
    const text = content.toString('utf8')
    const parent = parseTimelineHistory(text).at(-1)?.timeline
    if (parent === undefined || parent >= timeline) throw wrong(file, 'is not the history of its timeline')
    if (await catalog.knowsTimeline(identity.system_identifier, timeline, text)) return 'known'
    await storeTimelineFile(this.options, this.#home, { timeline, content }, signal)
    return 'stored'
  }

  get #home(): Home {
    return { server: this.options.server(), systemIdentifier: this.options.identity.system_identifier }
  }
}

function wrong({ name }: OfferedFile, what: string): PostboxError {
  return new PostboxError('wal_invalid', `${name} ${what}`, 'The file is cut off or damaged, or not of this server.')
}

/** As the catalog says it of segments that have a row. */
function conflict({ name }: OfferedFile, stored: Buffer, offered: Buffer): PostboxError {
  return new PostboxError(
    'wal_conflict',
    `WAL segment ${name} was stored before with other content: ${sha12(stored)}, now ${sha12(offered)}`,
    'Two servers write the same timeline (split brain), or a restored copy still runs as the original. Stop one of them; ' +
      'the segment that is here now was not stored.',
  )
}
