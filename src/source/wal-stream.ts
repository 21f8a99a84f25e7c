import { createHash } from 'node:crypto'
import { PostboxError } from '../errors.js'
import { formatLsn, parseLsn, type Lsn } from '../wal/lsn.js'
import { segmentStart, type Segment } from '../wal/segment.js'
import type { FrameBuffers } from './base-backup.js'
import { EventQueue } from './event-queue.js'
import type { Copy, ReplicationConnection } from './replication-connection.js'
import { textOf, type Row } from './server-message.js'
import { standbyStatus } from './standby-status.js'

export interface WalStreamOptions {
  slot: string
  timeline: number
  /** first byte wanted; the beginning of a segment */
  start: Lsn
  /** where the slot stands, which never goes back behind it */
  stored: Lsn
  segmentBytes: number
}

/** A whole segment in a buffer that the reader releases, with the SHA-256 of its bytes, or the end of the timeline. */
export type WalEvent =
  | { kind: 'segment'; segment: Segment; bytes: Buffer; sha256: Buffer }
  | { kind: 'timeline_end'; nextTimeline: number; switchLsn: Lsn }

/** The beginning of the segment that is being received. */
export interface UnfinishedSegment {
  segment: Segment
  /** what has come of it so far; a view that goes on to be written behind its end, and is reused when it is whole */
  bytes: Buffer
}

const XLOG_DATA = 0x77
const KEEPALIVE = 0x6b
/** Type, LSN of the first byte, end of WAL on the server, the server's clock. */
const XLOG_DATA_HEADER_BYTES = 25
const KEEPALIVE_REPLY_OFFSET = 17
/** Well under wal_sender_timeout, whose default is 60 s. */
const STATUS_EVERY_MS = 10_000

/**
 * START_REPLICATION on a physical slot: WAL cut into segments as it comes.
 *
 * The socket pauses while all buffers are out; the status goes on, so the server does not give the stream up.
 */
export class WalStream {
  readonly #events = new EventQueue<WalEvent>()
  readonly #receiver: WalReceiver
  #stored: Lsn
  #recorded: Lsn

  /**
   * @param buffers of at least one segment each
   * @param onReceived called after each read of the socket
   */
  constructor(
    readonly connection: ReplicationConnection,
    readonly options: WalStreamOptions,
    readonly buffers: FrameBuffers,
    onReceived: () => void = () => undefined,
  ) {
    this.#stored = options.stored
    this.#recorded = options.stored
    const onReplyWanted = () => {
      this.#sendStatus()
    }
    this.#receiver = new WalReceiver(connection, options, buffers, this.#events, onReplyWanted, onReceived)
  }

  /** The segment under way; null when there is none, or when the server has it whole already and it comes at once. */
  unfinished(): UnfinishedSegment | null {
    return this.#receiver.unfinished()
  }

  /**
   * Reports what is in the box, never more, and what the catalog knows of that: the server drops WAL up to `recorded`.
   */
  reportStored(stored: Lsn, recorded: Lsn = stored): void {
    if (stored <= this.#stored && recorded <= this.#recorded) return
    if (stored > this.#stored) this.#stored = stored
    if (recorded > this.#recorded) this.#recorded = recorded
    this.#sendStatus()
  }

  /** Ends with a timeline_end, or throws; ending the loop early closes the connection. */
  async *read(): AsyncGenerator<WalEvent> {
    const { slot, timeline, start } = this.options
    const command = `START_REPLICATION SLOT "${slot}" PHYSICAL ${formatLsn(start)} TIMELINE ${timeline}`
    this.buffers.onFree = () => {
      if (!this.buffers.exhausted) this.connection.resume()
    }
    this.connection.run(command, this.#receiver).then(
      (rows) => {
        this.#end(rows)
      },
      (error: unknown) => {
        this.#events.fail(error)
      },
    )
    const timer = setInterval(() => {
      this.#sendStatus()
    }, STATUS_EVERY_MS)
    let complete = false
    try {
      for await (const event of this.#events) {
        yield event
        complete = event.kind === 'timeline_end'
      }
    } finally {
      clearInterval(timer)
      this.buffers.onFree = () => undefined
      if (!complete) this.connection.close()
    }
  }

  #sendStatus(): void {
    if (!this.#receiver.streaming) return
    this.connection.sendCopyData(standbyStatus(this.#stored, this.#recorded, new Date()))
  }

  /** At the end of a historic timeline the server answers one row: the next timeline and where it begins. */
  #end(rows: readonly Row[]): void {
    const next = rows[0]
    if (next) {
      const switchLsn = parseLsn(textOf(next, 'next_tli_startpos')!)
      this.#events.push({ kind: 'timeline_end', nextTimeline: Number(textOf(next, 'next_tli')), switchLsn })
      this.#events.end()
    } else {
      const hint = 'The server is shutting down; Postbox connects again.'
      this.#events.fail(new PostboxError('replication_failed', 'the server ended the WAL stream', hint))
    }
  }
}

/** Copies the stream's bytes to their place in segment buffers. */
class WalReceiver implements Copy {
  streaming = false
  received: Lsn
  #segment: Buffer | null = null
  /** of the segment so far: hashed as it comes, while its bytes are in the processor's cache */
  #sha256 = createHash('sha256')
  #hashedTo = 0
  /** end of the WAL on the server when it last sent some */
  #serverEnd: Lsn = 0n

  constructor(
    readonly connection: ReplicationConnection,
    readonly options: WalStreamOptions,
    readonly buffers: FrameBuffers,
    readonly events: EventQueue<WalEvent>,
    readonly onReplyWanted: () => void,
    readonly onReceived: () => void,
  ) {
    this.received = options.start
  }

  unfinished(): UnfinishedSegment | null {
    const { timeline, segmentBytes } = this.options
    const start = segmentStart(this.received, segmentBytes)
    if (!this.#segment || this.#serverEnd >= start + BigInt(segmentBytes)) return null
    return { segment: { timeline, start }, bytes: this.#segment.subarray(0, Number(this.received - start)) }
  }

  begin(): void {
    this.streaming = true
  }

  headerBytes(kind: number, payloadBytes: number): number {
    return kind === XLOG_DATA ? XLOG_DATA_HEADER_BYTES : payloadBytes
  }

  header(header: Buffer): void {
    if (header[0] === KEEPALIVE) {
      if (header[KEEPALIVE_REPLY_OFFSET] === 1) this.onReplyWanted()
      return
    }
    this.#serverEnd = header.readBigUInt64BE(9)
    if (header.readBigUInt64BE(1) !== this.received) {
      throw new PostboxError(
        'replication_failed',
        `the WAL stream jumped from ${formatLsn(this.received)} to ${formatLsn(header.readBigUInt64BE(1))}`,
        'Postbox connects again and asks from the last stored byte.',
      )
    }
  }

  body(piece: Buffer): void {
    const { segmentBytes, timeline } = this.options
    for (let at = 0; at < piece.length;) {
      this.#segment ??= this.buffers.take()
      const offset = Number(this.received % BigInt(segmentBytes))
      const take = Math.min(piece.length - at, segmentBytes - offset)
      piece.copy(this.#segment, offset, at, at + take)
      at += take
      this.received += BigInt(take)
      if (offset + take === segmentBytes) {
        const start = segmentStart(this.received - 1n, segmentBytes)
        this.#hash(segmentBytes)
        this.events.push({
          kind: 'segment',
          segment: { timeline, start },
          bytes: this.#segment.subarray(0, segmentBytes),
          sha256: this.#sha256.digest(),
        })
        this.#segment = null
        this.#sha256 = createHash('sha256')
        this.#hashedTo = 0
      }
    }
  }

  readEnd(): void {
    if (this.#segment) this.#hash(Number(this.received % BigInt(this.options.segmentBytes)))
    if (this.buffers.exhausted && !this.#segment) this.connection.pause()
    this.onReceived()
  }

  #hash(to: number): void {
    if (to > this.#hashedTo) this.#sha256.update(this.#segment!.subarray(this.#hashedTo, to))
    this.#hashedTo = to
  }
}
