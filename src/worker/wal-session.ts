import type { Home } from '../box/key-names.js'
import { asPostboxError, PostboxError } from '../errors.js'
import type { ReplicationConnection } from '../source/replication-connection.js'
import type { ServerIdentity } from '../source/server-identity.js'
import { readTimelineFiles } from '../source/timeline-files.js'
import { WalStream, type WalEvent } from '../source/wal-stream.js'
import { FramePool, sharedMemory } from '../transform/frame-pool.js'
import { inOrder } from '../transform/in-order.js'
import { formatLsn } from '../wal/lsn.js'
import { segmentName, segmentStart } from '../wal/segment.js'
import { DurablePosition } from './durable-position.js'
import { SegmentChain } from './segment-chain.js'
import { segmentRoom } from './segment-room.js'
import { storeSegment, type StoredSegment } from './segment-store.js'
import type { OpenedSource } from './source.js'
import { behindSlot, findStartingPoint, type Beginning, type StreamPoint } from './starting-point.js'
import { TailPoster } from './tail-poster.js'
import { storeTimelineFile } from './timeline-store.js'
import { firstHole } from './wal-holes.js'
import type { WalKeeper } from './wal-keeper.js'
import { recordLoss } from './wal-loss.js'

const AT_RISK_EVERY_MS = 1000
/** Until the next session begins no slot may keep WAL. */
const STORED_WITHIN_MS = 5000

type StoreEvent =
  Extract<WalEvent, { kind: 'timeline_end' }> | { kind: 'stored'; stored: StoredSegment; ownOnly: boolean }

/** One life of the WAL keeper's replication connection, which it closes. */
export class WalSession {
  readonly connection: ReplicationConnection
  #server: ServerIdentity
  #home!: Home

  constructor(
    readonly keeper: WalKeeper,
    { connection, server }: OpenedSource,
    readonly onProgress: () => void,
  ) {
    this.connection = connection
    this.#server = server
  }

  /** Streams until `signal` is aborted or something fails; never resolves before. */
  async run(signal: AbortSignal): Promise<never> {
    const close = () => {
      this.connection.close()
    }
    signal.addEventListener('abort', close, { once: true })
    try {
      signal.throwIfAborted()
      // What the last session held comes again, but its rows need not wait for that.
      await this.keeper.recorder.recordHeld()
      await this.#noteServer()
      // Before anything else is asked of the box: WAL is kept from now on, even if no grant is there yet.
      const beginning = await findStartingPoint(this.keeper, this.connection, this.#server)
      if (beginning.loss) await recordLoss(this.keeper, this.#server.systemIdentifier, beginning.loss)
      this.keeper.slotIsReady()
      return await this.#streamFrom(beginning, signal)
    } finally {
      signal.removeEventListener('abort', close)
      this.connection.close()
    }
  }

  async #streamFrom({ point: first, loss, slot }: Beginning, signal: AbortSignal): Promise<never> {
    const { options, recorder } = this.keeper
    const { systemIdentifier, timeline } = this.#server
    this.#home = { server: options.server(), systemIdentifier }
    recorder.held.systemIdentifier = systemIdentifier
    await this.#storeTimelineFiles(signal)
    // On a timeline that the catalog did not know, only its history tells where it left the stored WAL.
    if (loss && timeline > 1) await recordLoss(this.keeper, systemIdentifier, loss)
    const hole = timeline > 1 ? await firstHole(this.keeper, this.connection, this.#server, slot) : null
    await this.keeper.serverIsWell()
    for (let point = hole ? behindSlot(hole, slot) : first; ;) {
      const { address } = this.connection
      options.log.info({ timeline: point.timeline, from: formatLsn(point.start), source: address }, 'streaming WAL')
      point = await this.#streamTimeline(point, signal)
      // A standby tells only now that it was promoted, or follows one that was.
      this.#server = await options.source.identify(this.connection)
      await this.#noteServer()
      if (this.#server.timeline !== timeline) await this.#storeTimelineFiles(signal)
    }
  }

  /** Notes what the server is now. The views are told where the slot is, as none sees it on another server. */
  async #noteServer(): Promise<void> {
    const { inRecovery, timeline } = this.#server
    const { age, catalog } = this.keeper.options
    this.keeper.readsStandby = inRecovery
    age.follow(timeline)
    await catalog.reportSource(inRecovery ? this.connection.address : null)
  }

  /** Before any WAL of the timeline. */
  async #storeTimelineFiles(signal: AbortSignal): Promise<void> {
    for (const file of await readTimelineFiles(this.connection, this.#server.timeline)) {
      await storeTimelineFile(this.keeper.options, this.#home, file, signal)
    }
  }

  /** Streams one timeline; resolves at its end to where the next one begins. */
  async #streamTimeline(point: StreamPoint, signal: AbortSignal): Promise<StreamPoint> {
    const { segmentBytes, systemIdentifier } = this.#server
    const { recorder, atRisk, options } = this.keeper
    const mark = await options.catalog.previousMark(systemIdentifier, point, segmentBytes)
    const chain = new SegmentChain(point.start, mark)
    const { raw, posted } = segmentRoom(segmentBytes)
    const buffers = new FramePool(raw, segmentBytes, sharedMemory)
    const onReceived = () => {
      tails.wake()
    }
    const stream = this.#openStream(point, buffers, onReceived)
    const durable = new DurablePosition(point.start)
    recorder.onRecorded = () => {
      this.#report(stream, durable)
      void this.#followRows(durable, point)
    }
    this.#report(stream, durable)
    this.keeper.streaming = true
    await this.#followRows(durable, point)
    const looking = setInterval(() => {
      this.keeper.noteWaiting(stream.waiting(), true)
      void atRisk.look(stream.waiting(), options.age.now())
    }, AT_RISK_EVERY_MS)
    const tails = this.#tailPoster(stream, durable, chain)
    const ending = new AbortController()
    const storing = new AbortController()
    const posting = tails.run(AbortSignal.any([signal, ending.signal]))
    // The keeper begins again with both, so that one never goes on without the other.
    posting.catch((thrown: unknown) => {
      this.connection.close(asPostboxError(thrown))
    })
    try {
      const until = AbortSignal.any([signal, storing.signal])
      const stored = inOrder(this.#events(stream, point, storing), raw + posted, (event) => {
        const result = this.#store(event, buffers, chain, until)
        // It is known now what the next segment follows.
        tails.wake()
        return result
      })
      return await this.#follow(stored, stream, durable, point)
    } finally {
      recorder.onRecorded = () => undefined
      clearInterval(looking)
      this.keeper.waiting = stream.waiting()
      ending.abort()
      storing.abort()
      await posting.catch(() => undefined)
    }
  }

  #openStream(point: StreamPoint, buffers: FramePool, onReceived: () => void): WalStream {
    const { settings, age } = this.keeper.options
    const { segmentBytes, timeline, inRecovery: fromStandby } = this.#server
    const { slot } = settings()
    const asked = { behindSlot: point.start < point.slotStart, historic: point.timeline !== timeline, fromStandby }
    return new WalStream(this.connection, { slot, segmentBytes, ...point, ...asked }, buffers, age, onReceived)
  }

  /** Records and reports what is stored, in order, until the timeline ends. */
  async #follow(
    stored: AsyncIterable<StoreEvent>,
    stream: WalStream,
    durable: DurablePosition,
    point: StreamPoint,
  ): Promise<StreamPoint> {
    const { position, recorder, options } = this.keeper
    const { segmentBytes } = this.#server
    position.advance(point.timeline, point.start)
    for await (const event of stored) {
      if (event.kind === 'timeline_end') {
        // The slot moves on to the next timeline, and forgets this one.
        await recorder.recordHeld()
        const start = segmentStart(event.switchLsn, segmentBytes)
        return { timeline: event.nextTimeline, start, stored: start, unproven: false, slotStart: start }
      }
      await recorder.record(event.stored, event.ownOnly)
      durable.storedWhole(event.stored.end)
      options.age.storedSegment(event.stored.end, event.stored.lastCommitAt)
      await this.#followRows(durable, point)
      this.#report(stream, durable)
      position.advance(point.timeline, event.stored.end)
      this.onProgress()
      options.log.debug({ segment: segmentName(event.stored.segment, segmentBytes) }, 'stored a segment')
    }
    throw new PostboxError('replication_failed', 'the WAL stream ended', 'Postbox connects again.')
  }

  /** What is stored. The server may drop its WAL, unless rows are missing that nothing else keeps it for. */
  #report(stream: WalStream, { lsn }: DurablePosition): void {
    const { recorder, rowsSlot, options } = this.keeper
    const { heldFrom } = recorder
    this.keeper.durable = { timeline: stream.options.timeline, lsn }
    // Before it is told to the stream, for which it waits no longer then.
    if (stream.waiting()) this.keeper.noteWaiting(stream.waiting(), true)
    options.history.stored(stream.options.timeline, lsn)
    // A COMMIT waits for what is flushed, and must not wait for rows.
    const needed = heldFrom !== null && heldFrom < lsn && !rowsSlot.keeps && !options.synchronous()
    stream.reportStored(lsn, needed ? heldFrom : lsn)
    this.keeper.isProven = stream.isProven
  }

  /** The second slot of a worker that was killed stays until the rows reach the first one. */
  async #followRows(durable: DurablePosition, { slotStart }: StreamPoint): Promise<void> {
    const { recorder, rowsSlot } = this.keeper
    if (durable.lsn >= slotStart) await rowsSlot.follow(recorder.heldFrom !== null)
  }

  #tailPoster(stream: WalStream, durable: DurablePosition, chain: SegmentChain): TailPoster {
    const { options, recorder } = this.keeper
    const { box, settings, synchronous } = options
    let othersWrite = false
    return new TailPoster({
      home: this.#home,
      segmentBytes: this.#server.segmentBytes,
      box,
      compressionLevel: () => settings().compression_level,
      intervalMs: () => (synchronous() ? 0 : settings().wal_interval * 1000),
      paceChanged: this.keeper.paceChanged,
      unfinished: () => {
        const unfinished = stream.unfinished()
        return unfinished?.segment.start === chain.end ? unfinished : null
      },
      previous: (start) => chain.previous(start),
      inspect: (bytes) => {
        othersWrite = recorder.heldFrom !== null && !recorder.wroteAllOf(bytes)
      },
      onStored: async (segment, to) => {
        durable.storedTail(segment, to)
        // What others wrote must not look unsafe for the sake of rows.
        if (othersWrite) await recorder.recordHeld()
        this.#report(stream, durable)
        this.onProgress()
      },
    })
  }

  /**
   * The stream's events; when WAL from before the slot is gone, the next session does not ask for it again.
   *
   * What has come is still stored when the stream breaks, as the server may not have it any more; `storing` ends that.
   */
  async *#events(stream: WalStream, point: StreamPoint, storing: AbortController): AsyncGenerator<WalEvent> {
    try {
      yield* stream.read()
    } catch (thrown) {
      setTimeout(() => {
        storing.abort(thrown)
      }, STORED_WITHIN_MS).unref()
      const behind = point.start < point.slotStart
      if (behind && asPostboxError(thrown).code === 'slot_invalid') this.keeper.goneBefore = point.slotStart
      throw thrown
    }
  }

  async #store(event: WalEvent, buffers: FramePool, chain: SegmentChain, signal: AbortSignal): Promise<StoreEvent> {
    if (event.kind === 'timeline_end') return event
    const { options, recorder } = this.keeper
    const store = {
      home: this.#home,
      segmentBytes: this.#server.segmentBytes,
      box: options.box,
      compress: (raw: Buffer) => this.keeper.threads.compressSegment(raw, options.settings().compression_level),
      chain,
    }
    let ownOnly = false
    const stored = await storeSegment(store, event, signal, () => {
      ownOnly = recorder.wroteAllOf(event.bytes)
      buffers.release(event.bytes)
    })
    return { kind: 'stored', stored, ownOnly }
  }
}
