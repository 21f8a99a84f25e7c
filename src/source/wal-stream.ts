import { PostboxError } from '../errors.js'
import { formatLsn, parseLsn, type Lsn } from '../wal/lsn.js'
import type { Segment } from '../wal/segment.js'
import type { FrameBuffers } from './base-backup.js'
import { EventQueue } from './event-queue.js'
import type { ReplicationConnection } from './replication-connection.js'
import { textOf, type Row } from './server-message.js'
import { NOTHING, standbyStatus } from './standby-status.js'
import { UNKNOWN, WalAge, type ServerTime } from './wal-age.js'
import { WalReceiver } from './wal-receiver.js'

export interface WalStreamOptions {
  slot: string
  timeline: number
  /** first byte wanted; the beginning of a segment */
  start: Lsn
  /** all WAL before it is stored */
  stored: Lsn
  /** that is not known for certain: the server hears nothing of it until something is stored beyond `start` */
  unproven?: boolean
  segmentBytes: number
  /** WAL is asked from before the slot, and may be gone */
  behindSlot?: boolean
  /** a timeline that was left; by default it is the one that the server writes */
  historic?: boolean
  /** whether it is a standby, which may send what it has not received: see segment-switch.ts */
  fromStandby?: boolean
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
  /** of these bytes */
  sha256: Buffer
}

/** WAL that is not stored. */
export interface Waiting {
  /** its first byte */
  from: Lsn
  since: ServerTime
}

/** How long an idle server may not know that nothing waits; and we, that it is idle and not gone. */
const STATUS_EVERY_MS = 1000
/** A server that answers none of so many is gone, as wal_receiver_timeout has it. */
const UNANSWERED_AT_MOST = 60

/**
 * START_REPLICATION on a physical slot: WAL cut into segments as it comes.
 *
 * The socket pauses while all buffers are out; the status goes on, so the server does not give the stream up.
 */
export class WalStream {
  readonly #events = new EventQueue<WalEvent>()
  readonly #receiver: WalReceiver
  #stored: Lsn
  #flushed: Lsn
  /** whether the server may hear of it */
  #proven: boolean
  /** whether the server was told that WAL waits; null: nothing was told yet */
  #saidToWait: boolean | null = null
  /** messages from the server when it was last asked for one, and how often it was since there was none */
  #answered = 0
  #unanswered = 0

  /**
   * @param buffers of at least one segment each
   * @param age outlives the stream
   * @param onReceived called after each read of the socket
   */
  constructor(
    readonly connection: ReplicationConnection,
    readonly options: WalStreamOptions,
    readonly buffers: FrameBuffers,
    readonly age = new WalAge(),
    onReceived: () => void = () => undefined,
  ) {
    this.#stored = options.stored
    this.#flushed = options.stored
    this.#proven = options.unproven !== true
    const onReplyWanted = () => {
      this.#sendStatus()
    }
    const onReadEnd = () => {
      // The first that waits says so at once; what comes behind it is younger.
      if (this.#saidToWait === null || (!this.#saidToWait && this.waiting())) this.#sendStatus()
      onReceived()
    }
    this.#receiver = new WalReceiver(connection, options, buffers, age, this.#events, onReplyWanted, onReadEnd)
  }

  /** Whether the server hears what is stored. */
  get isProven(): boolean {
    return this.#proven
  }

  /** The segment under way; null when there is none, or when the server has it whole already and it comes at once. */
  unfinished(): UnfinishedSegment | null {
    return this.#receiver.unfinished()
  }

  /** Reports what is in the box, never more, and what of that the server need not keep: it drops WAL up to `flushed`. */
  reportStored(stored: Lsn, flushed: Lsn = stored): void {
    const proves = !this.#proven && stored > this.options.start && stored >= this.options.stored
    if (!proves && stored <= this.#stored && flushed <= this.#flushed) return
    if (proves) this.#proven = true
    if (stored > this.#stored) {
      this.#stored = stored
      this.age.forget(stored)
    }
    if (flushed > this.#flushed) this.#flushed = flushed
    this.#sendStatus()
  }

  /** The first byte that is not stored, and since when it waits; null when nothing does. */
  waiting(): Waiting | null {
    const since = this.age.since(this.#stored)
    return since === null ? null : { from: this.#stored, since }
  }

  /** Ends with a timeline_end, or throws once it has given what had come; ending the loop early closes the connection. */
  async *read(): AsyncGenerator<WalEvent> {
    const { slot, timeline, start } = this.options
    const command = `START_REPLICATION SLOT "${slot}" PHYSICAL ${formatLsn(start)} TIMELINE ${timeline}`
    this.buffers.onFree = () => {
      if (!this.#receiver.full) this.connection.resume()
    }
    const timer = setInterval(() => {
      this.#askServer()
    }, STATUS_EVERY_MS)
    this.connection.run(command, this.#receiver).then(
      (rows) => {
        clearInterval(timer)
        this.#end(rows)
      },
      (error: unknown) => {
        clearInterval(timer)
        this.#events.endWith(error)
      },
    )
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

  #sendStatus(replyWanted = false): void {
    // The slot moves to where it is told, back as well, and would be lost where the server has no WAL any more.
    if (!this.#receiver.streaming || (this.options.behindSlot && this.#receiver.messages === 0)) return
    const waitsSince = this.age.since(this.#stored)
    this.#saidToWait = waitsSince !== null
    const at = waitsSince ?? this.age.now() ?? UNKNOWN
    // A COMMIT returns when what it waits for is flushed.
    const [stored, flushed] = this.#proven ? [this.#stored, this.#flushed] : [NOTHING, NOTHING]
    this.connection.sendCopyData(standbyStatus({ stored, flushed, waitsSince: at, replyWanted }))
  }

  /** A connection that broke without a word would look like a server at rest. */
  #askServer(): void {
    const { messages } = this.#receiver
    // While the socket is paused nothing can be heard.
    const heard = messages > this.#answered || this.#receiver.full
    this.#unanswered = heard ? 0 : this.#unanswered + 1
    this.#answered = messages
    if (this.#unanswered < UNANSWERED_AT_MOST) {
      this.#sendStatus(true)
    } else {
      const hint = 'Postbox connects again and asks from the last stored byte.'
      this.connection.close(new PostboxError('replication_failed', 'the server has said nothing for a minute', hint))
    }
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
      this.#events.endWith(new PostboxError('replication_failed', 'the server ended the WAL stream', hint))
    }
  }
}
