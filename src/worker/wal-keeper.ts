import type { Logger } from 'pino'
import type { Box } from '../box/box.js'
import type { Catalog } from '../catalog/catalog.js'
import type { Settings } from '../catalog/settings.js'
import { asPostboxError } from '../errors.js'
import type { Secret } from '../secret.js'
import { ReplicationConnection } from '../source/replication-connection.js'
import { dropSlot } from '../source/replication-slot.js'
import type { Lsn } from '../wal/lsn.js'
import { Backoff } from './backoff.js'
import { SegmentRecorder } from './segment-recorder.js'
import { StoredPosition } from './stored-position.js'
import { WalSession } from './wal-session.js'

/** How often the server must say that the slot's WAL is gone before the slot is given up. */
const WAL_GONE_TRIES = 5

export interface WalKeeperOptions {
  databaseUrl: Secret
  catalog: Catalog
  box: Box
  /** the server's name in the box; throws `grant_missing` while nobody said it */
  server: () => string
  settings: () => Settings
  /** whether a COMMIT waits for each tail */
  synchronous: () => boolean
  log: Logger
}

/**
 * Streams WAL into the box for as long as the worker lives: segment stored → its row → reported as flushed.
 *
 * Whatever fails, it begins again where the slot stands; the server keeps all WAL from there.
 */
export class WalKeeper {
  readonly position = new StoredPosition()
  readonly recorder: SegmentRecorder
  /** before it, WAL that was stored but not recorded is gone from the server */
  goneBefore: Lsn = 0n
  readonly #slotReady = Promise.withResolvers<undefined>()

  constructor(readonly options: WalKeeperOptions) {
    this.recorder = new SegmentRecorder(options.catalog)
  }

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

  /** The slot is there: called by each session. */
  slotIsReady(): void {
    this.#slotReady.resolve(undefined)
  }

  /** Resolves when WAL up to `lsn` is in the box and its rows are in the catalog. */
  async stored(timeline: number, lsn: Lsn, signal: AbortSignal): Promise<void> {
    await this.position.reached(timeline, lsn, signal)
    await this.recorder.recordHeld()
  }

  /** Runs until `signal` is aborted; failures are logged, reported to the catalog and tried again. */
  async run(signal: AbortSignal): Promise<void> {
    const { catalog, log, databaseUrl } = this.options
    const backoff = new Backoff(500, 30_000)
    let walGone = 0
    while (!signal.aborted) {
      try {
        const onProgress = () => {
          backoff.reset()
          walGone = 0
        }
        const connection = await ReplicationConnection.open(databaseUrl, 'postbox')
        await new WalSession(this, connection, onProgress).run(signal)
      } catch (thrown) {
        if (signal.aborted) break
        const error = asPostboxError(thrown)
        log.error({ err: error, code: error.code, hint: error.hint }, 'WAL waits in the slot')
        await catalog.reportProblem('wal', error).catch(() => undefined)
        if (error.code === 'slot_invalid' && ++walGone === WAL_GONE_TRIES) await this.#dropSlot()
        await backoff.wait(signal, error.retryAfterMs)
      }
    }
    // The next worker need not stream again what only its row is missing of.
    await this.recorder.recordHeld().catch(() => undefined)
  }

  /**
   * A slot whose WAL was removed never streams again. The new one that the next session makes begins with a gap, which
   * the catalog shows as a row and which only a new base backup closes; waiting would make the gap larger.
   */
  async #dropSlot(): Promise<void> {
    const { settings, log, databaseUrl } = this.options
    const { slot } = settings()
    log.error({ slot }, 'the slot lost its WAL and is made anew: there is a gap in the stored WAL')
    const connection = await ReplicationConnection.open(databaseUrl, 'postbox')
    try {
      await dropSlot(connection, slot)
    } catch (thrown) {
      log.error({ err: asPostboxError(thrown), slot }, 'the slot could not be dropped')
    } finally {
      connection.close()
    }
  }
}
