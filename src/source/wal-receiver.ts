import { createHash } from 'node:crypto'
import { PostboxError } from '../errors.js'
import { formatLsn, type Lsn } from '../wal/lsn.js'
import { segmentStart } from '../wal/segment.js'
import { clearBehindSwitch } from '../wal/segment-switch.js'
import type { FrameBuffers } from './base-backup.js'
import type { EventQueue } from './event-queue.js'
import type { Copy, ReplicationConnection } from './replication-connection.js'
import type { ServerTime, WalAge } from './wal-age.js'
import type { UnfinishedSegment, WalEvent, WalStreamOptions } from './wal-stream.js'

const XLOG_DATA = 0x77
const KEEPALIVE = 0x6b
/** Type, LSN of the first byte, end of WAL on the server, the server's clock. */
const XLOG_DATA_HEADER_BYTES = 25
const SENT_AT_OFFSET = 17
/** Type, end of what was sent, the server's clock, whether a reply is wanted. */
const KEEPALIVE_SENT_AT_OFFSET = 9
const KEEPALIVE_REPLY_OFFSET = 17

/** Copies the stream's bytes to their place in segment buffers. */
export class WalReceiver implements Copy {
  streaming = false
  /** how many the server has sent, so that its silence is heard */
  messages = 0
  received: Lsn
  /** whether all WAL came that there was, and more is waited for */
  #waiting = false
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
    readonly age: WalAge,
    readonly events: EventQueue<WalEvent>,
    readonly onReplyWanted: () => void,
    readonly onReadEnd: () => void,
  ) {
    this.received = options.start
  }

  unfinished(): UnfinishedSegment | null {
    const { timeline, segmentBytes } = this.options
    const start = segmentStart(this.received, segmentBytes)
    if (!this.#segment || this.#serverEnd >= start + BigInt(segmentBytes)) return null
    const bytes = this.#segment.subarray(0, Number(this.received - start))
    this.#hash(bytes.length)
    return { segment: { timeline, start }, bytes, sha256: this.#sha256.copy().digest() }
  }

  /** Whether the socket must rest: most reads that end a segment begin the next one. */
  get full(): boolean {
    return this.#segment ? this.buffers.overdrawn : this.buffers.exhausted
  }

  begin(): void {
    this.streaming = true
  }

  headerBytes(kind: number, payloadBytes: number): number {
    return kind === XLOG_DATA ? XLOG_DATA_HEADER_BYTES : payloadBytes
  }

  header(header: Buffer): void {
    this.messages++
    if (header[0] === KEEPALIVE) {
      this.age.heard(header.readBigInt64BE(KEEPALIVE_SENT_AT_OFFSET), this.#waiting)
      if (header[KEEPALIVE_REPLY_OFFSET] === 1) this.onReplyWanted()
      return
    }
    this.#serverEnd = header.readBigUInt64BE(9)
    this.#dated(header.readBigInt64BE(SENT_AT_OFFSET))
    if (header.readBigUInt64BE(1) !== this.received) {
      throw new PostboxError(
        'replication_failed',
        `the WAL stream jumped from ${formatLsn(this.received)} to ${formatLsn(header.readBigUInt64BE(1))}`,
        'Postbox connects again and asks from the last stored byte.',
      )
    }
  }

  body(read: Buffer, from: number, to: number): void {
    const { segmentBytes, timeline } = this.options
    for (let at = from; at < to;) {
      this.#segment ??= this.buffers.take()
      const offset = Number(this.received % BigInt(segmentBytes))
      const take = Math.min(to - at, segmentBytes - offset)
      read.copy(this.#segment, offset, at, at + take)
      at += take
      this.received += BigInt(take)
      if (offset + take === segmentBytes) {
        const start = segmentStart(this.received - 1n, segmentBytes)
        this.#hash(segmentBytes)
        const bytes = this.#segment.subarray(0, segmentBytes)
        const changed = this.options.fromStandby === true && clearBehindSwitch(bytes)
        const sha256 = changed ? createHash('sha256').update(bytes).digest() : this.#sha256.digest()
        this.events.push({ kind: 'segment', segment: { timeline, start }, bytes, sha256 })
        this.#segment = null
        this.#sha256 = createHash('sha256')
        this.#hashedTo = 0
      }
    }
  }

  readEnd(): void {
    if (this.#segment) this.#hash(Number(this.received % BigInt(this.options.segmentBytes)))
    if (this.received === this.#serverEnd) this.#waiting = true
    if (this.full) {
      this.#waiting = false
      this.connection.pause()
    }
    this.onReadEnd()
  }

  #hash(to: number): void {
    if (to > this.#hashedTo) this.#sha256.update(this.#segment!.subarray(this.#hashedTo, to))
    this.#hashedTo = to
  }

  #dated(sentAt: ServerTime): void {
    // A timeline that was left ended where the next began.
    if (this.options.historic) this.age.cameOld(this.#serverEnd, sentAt)
    else this.age.came(this.#serverEnd, sentAt, this.#waiting)
    this.#waiting = false
  }
}
