import type { Logger } from 'pino'
import type { Box } from '../box/box.js'
import type { Home } from '../box/key-names.js'
import type { Catalog } from '../catalog/catalog.js'
import type { Settings } from '../catalog/settings.js'
import { asPostboxError, PostboxError } from '../errors.js'
import type { Secret } from '../secret.js'
import { ReplicationConnection } from '../source/replication-connection.js'
import { dropSlot, ensureSlot } from '../source/replication-slot.js'
import { identifyServer, type ServerIdentity } from '../source/server-identity.js'
import { readTimelineFiles } from '../source/timeline-files.js'
import { WalStream } from '../source/wal-stream.js'
import { FramePool } from '../transform/frame-pool.js'
import { inOrder } from '../transform/in-order.js'
import { formatLsn, type Lsn } from '../wal/lsn.js'
import { segmentName, segmentStart } from '../wal/segment.js'
import { Backoff } from './backoff.js'
import { storeTimelineFile } from './timeline-store.js'
import { SegmentRecorder } from './segment-recorder.js'
import { storeSegment } from './segment-store.js'
import { StoredPosition } from './stored-position.js'

/** Memory for segments on their way: filled, being compressed, being posted. */
const SEGMENT_MEMORY_BYTES = 48 * 1024 * 1024

/** How often the server must say that the slot's WAL is gone before the slot is given up. */
const WAL_GONE_TRIES = 5

export interface WalKeeperOptions {
  databaseUrl: Secret
  catalog: Catalog
  box: Box
  /** the server's name in the box; throws `grant_missing` while nobody said it */
  server: () => string
  settings: () => Settings
  log: Logger
}

interface StreamPoint {
  timeline: number
  start: Lsn
}

/**
 * Streams WAL into the box for as long as the worker lives: segment stored → its row → reported as flushed.
 *
 * Whatever fails, it begins again where the slot stands; the server keeps all WAL from there.
 */
export class WalKeeper {
  readonly position = new StoredPosition()
  #recorder: SegmentRecorder | null = null
  #slotReady = Promise.withResolvers<undefined>()

  constructor(readonly options: WalKeeperOptions) {}

  /** Resolves once the slot keeps WAL: what is written from then on will be stored. */
  async slotReady(signal: AbortSignal): Promise<void> {
    const aborted = Promise.withResolvers<never>()
    const abort = () => {
      aborted.reject(signal.reason as Error)
    }
    signal.addEventListener('abort', abort, { once: true })
    await Promise.race([this.#slotReady.promise, aborted.promise]).finally(() => {
      signal.removeEventListener('abort', abort)
    })
  }

  /** Resolves when WAL up to `lsn` is in the box and its rows are in the catalog. */
  async stored(timeline: number, lsn: Lsn, signal: AbortSignal): Promise<void> {
    await this.position.reached(timeline, lsn, signal)
    await this.#recorder?.recordHeld()
  }

  /** Runs until `signal` is aborted; failures are logged, reported to the catalog and tried again. */
  async run(signal: AbortSignal): Promise<void> {
    const { catalog, log } = this.options
    const backoff = new Backoff(500, 30_000)
    let walGone = 0
    while (!signal.aborted) {
      try {
        await this.#keep(signal, () => {
          backoff.reset()
          walGone = 0
        })
      } catch (thrown) {
        if (signal.aborted) break
        const error = asPostboxError(thrown)
        log.error({ err: error, code: error.code, hint: error.hint }, 'WAL waits in the slot')
        await catalog.reportProblem('wal', error).catch(() => undefined)
        if (error.code === 'slot_invalid' && ++walGone === WAL_GONE_TRIES) await this.#replaceSlot(signal)
        await backoff.wait(signal, error.retryAfterMs)
      }
    }
  }

  /** One life of the replication connection. */
  async #keep(signal: AbortSignal, onProgress: () => void): Promise<void> {
    const { databaseUrl, catalog, log } = this.options
    const connection = await ReplicationConnection.open(databaseUrl, 'postbox')
    const close = () => {
      connection.close()
    }
    signal.addEventListener('abort', close, { once: true })
    try {
      const identity = await identifyServer(connection)
      // Before anything else is asked of the box: WAL is kept from now on, even if no grant is there yet.
      let point = await this.#startingPoint(connection, identity)
      this.#slotReady.resolve(undefined)
      const home = { server: this.options.server(), systemIdentifier: identity.systemIdentifier }
      this.#recorder ??= new SegmentRecorder(catalog, home.systemIdentifier)
      for (const file of await readTimelineFiles(connection, identity.timeline)) {
        await storeTimelineFile(this.options, home, file, signal)
      }
      await catalog.reportProblem('wal', null)
      for (;;) {
        log.info({ timeline: point.timeline, from: formatLsn(point.start) }, 'streaming WAL')
        point = await this.#streamTimeline(connection, identity, home, point, signal, onProgress)
      }
    } finally {
      signal.removeEventListener('abort', close)
      connection.close()
      if (signal.aborted) await this.#recorder?.recordHeld().catch(() => undefined)
    }
  }

  async #startingPoint(connection: ReplicationConnection, identity: ServerIdentity): Promise<StreamPoint> {
    const { slot } = this.options.settings()
    const position = await ensureSlot(connection, slot)
    if (position.created) this.options.log.info({ slot, from: formatLsn(position.restartLsn) }, 'made the slot')
    return { timeline: position.timeline, start: segmentStart(position.restartLsn, identity.segmentBytes) }
  }

  /** Streams one timeline; resolves at its end to where the next one begins. */
  async #streamTimeline(
    connection: ReplicationConnection,
    identity: ServerIdentity,
    home: Home,
    point: StreamPoint,
    signal: AbortSignal,
    onProgress: () => void,
  ): Promise<StreamPoint> {
    const { box, log } = this.options
    const { segmentBytes } = identity
    const { slot } = this.options.settings()
    const atOnce = Math.min(16, Math.max(2, Math.floor(SEGMENT_MEMORY_BYTES / segmentBytes)))
    const buffers = new FramePool(atOnce, segmentBytes)
    const stream = new WalStream(connection, { slot, segmentBytes, ...point }, buffers)
    const store = { home, segmentBytes, box, compressionLevel: () => this.options.settings().compression_level }
    this.position.advance(point.timeline, point.start)
    const stored = inOrder(stream.read(), atOnce, async (event) => {
      if (event.kind === 'timeline_end') return event
      const segment = await storeSegment(store, event.segment, event.bytes, signal)
      const ownOnly = this.#recorder!.wroteAllOf(event.bytes)
      buffers.release(event.bytes)
      return { kind: 'stored' as const, segment, ownOnly }
    })
    for await (const event of stored) {
      if (event.kind === 'timeline_end') {
        return { timeline: event.nextTimeline, start: segmentStart(event.switchLsn, segmentBytes) }
      }
      await this.#recorder!.record(event.segment, event.ownOnly)
      stream.reportStored(event.segment.end)
      this.position.advance(point.timeline, event.segment.end)
      onProgress()
      log.debug({ segment: segmentName(event.segment.segment, segmentBytes) }, 'stored a segment')
    }
    throw new PostboxError('replication_failed', 'the WAL stream ended', 'Postbox connects again.')
  }

  /**
   * A slot whose WAL was removed never streams again. A new one begins with a gap, which the catalog shows as a row and
   * which only a new base backup closes; waiting would make the gap larger.
   */
  async #replaceSlot(signal: AbortSignal): Promise<void> {
    const { slot } = this.options.settings()
    this.options.log.error({ slot }, 'the slot lost its WAL and is made anew: there is a gap in the stored WAL')
    const connection = await ReplicationConnection.open(this.options.databaseUrl, 'postbox')
    try {
      signal.throwIfAborted()
      await dropSlot(connection, slot)
    } finally {
      connection.close()
    }
  }
}
