import type { Logger } from 'pino'
import type { Box } from '../box/box.js'
import type { Catalog } from '../catalog/catalog.js'
import type { Settings } from '../catalog/settings.js'
import { asPostboxError, PostboxError } from '../errors.js'
import { dropSlot } from '../source/replication-slot.js'
import type { WalAge } from '../source/wal-age.js'
import type { Waiting } from '../source/wal-stream.js'
import type { Lsn } from '../wal/lsn.js'
import { CompressThreads } from '../transform/compress-threads.js'
import { AtRiskReport } from './at-risk-report.js'
import { Backoff } from './backoff.js'
import { BOX_TROUBLE, KeepLimit } from './keep-limit.js'
import { RowsSlot } from './rows-slot.js'
import { SegmentRecorder, type HeldSegments } from './segment-recorder.js'
import { SlotReadiness } from './slot-readiness.js'
import type { Source } from './source.js'
import { StoredPosition } from './stored-position.js'
import { StreamedSegments } from './streamed-segments.js'
import { Wakeup } from './wakeup.js'
import type { WalHistory } from './wal-history.js'
import { WalSession } from './wal-session.js'

/** How often the server must say that the slot's WAL is gone before the slot is given up. */
const WAL_GONE_TRIES = 5
const REST_MS = 60_000

export interface WalKeeperOptions {
  source: Source
  catalog: Catalog
  box: Box
  /** the server's name in the box; throws `grant_missing` while nobody said it */
  server: () => string
  settings: () => Settings
  /** segments compressed at once, each in a thread of its own */
  threads: number
  /** whether a COMMIT waits for each tail */
  synchronous: () => boolean
  /** since when WAL waits; outlives the keeper */
  age: WalAge
  /** stored segments without a row; outlives the keeper */
  held: HeldSegments
  /** what is shown of the last day */
  history: WalHistory
  log: Logger
}

/** A position in the WAL of one timeline. */
export interface WalPlace {
  timeline: number
  lsn: Lsn
}

/**
 * Streams WAL into the box for as long as the worker lives: segment stored → its row → reported as flushed.
 *
 * Whatever fails, it begins again where the slot stands; the server keeps all WAL from there.
 */
export class WalKeeper {
  readonly position = new StoredPosition()
  readonly recorder: SegmentRecorder
  readonly rowsSlot: RowsSlot
  readonly atRisk: AtRiskReport
  readonly streamed: StreamedSegments
  readonly threads: CompressThreads
  /** what was not stored when the last session ended */
  waiting: Waiting | null = null
  /** before it, WAL that the slot does not keep is gone from the server, or given up */
  goneBefore: Lsn = 0n
  /** how WAL came to be lost, until that is recorded */
  lossReason: string | null = null
  /** WAL was given up that the server may still have */
  gaveUp = false
  /** whether base backups may have begun to read */
  slotWasReady = false
  /** whether what was read last was a standby's */
  readsStandby = false
  /** up to where WAL is in the box, in tails too, as the last session knew; null before the first */
  durable: WalPlace | null = null
  /** false while only the slot says that anything is stored where it stands */
  isProven = true
  /** whether a session streams now */
  streaming = false
  /** ends the session under way, and what it asks by connections of its own */
  sessionSignal = AbortSignal.any([])
  /** woken when tails may have to be posted sooner, or later, than before */
  readonly paceChanged = new Wakeup()
  readonly #slot = new SlotReadiness()
  readonly #retry = new Wakeup()
  #boxTrouble = false
  /** ended when WAL is not wanted any more; null while it is not */
  #session: AbortController | null = null
  /** whether the base backup after a gap may have failed for want of the box */
  #baseMayWait = true

  constructor(readonly options: WalKeeperOptions) {
    const { catalog, held, source, settings, log } = options
    this.recorder = new SegmentRecorder(catalog, held)
    this.atRisk = new AtRiskReport(catalog)
    this.rowsSlot = new RowsSlot(source, () => settings().slot, log)
    this.streamed = new StreamedSegments(this.position, this.recorder)
    this.threads = new CompressThreads(options.threads)
  }

  /** What failed is tried again now: a grant came, or somebody waits. */
  retryNow(): void {
    this.#retry.wake()
  }

  /**
   * Resolves once the slot keeps WAL: what is written from then on will be stored. Rejects when it could not be made or
   * read this time either.
   */
  async slotReady(signal: AbortSignal): Promise<void> {
    this.retryNow()
    await this.#slot.wait(signal)
  }

  /** The slot is there: called by each session. */
  slotIsReady(): void {
    this.slotWasReady = true
    this.#slot.succeeded()
  }

  /** The server answers: called by each session before it streams. */
  async serverIsWell(): Promise<void> {
    if (!this.#boxTrouble) await this.options.catalog.reportProblem('wal', null)
  }

  /** Resolves when WAL up to `lsn` is in the box and its rows are in the catalog. */
  async stored(timeline: number, lsn: Lsn, signal: AbortSignal): Promise<void> {
    await this.position.reached(timeline, lsn, signal)
    await this.recorder.recordHeld()
  }

  /** How long WAL has waited until now, for the history. `known`: without any that waits, none does. */
  noteWaiting(waiting: Waiting | null, known: boolean): void {
    const { age, history } = this.options
    const now = age.now()
    if (waiting && now !== null) history.waits(Math.max(0, Number(now - waiting.since) / 1e6))
    else if (known) history.waits(0)
  }

  /** Runs until `signal` is aborted; failures are logged, reported to the catalog and tried again. */
  async run(signal: AbortSignal): Promise<void> {
    const { log, source, settings } = this.options
    const backoff = new Backoff(500, 30_000)
    const keepLimit = new KeepLimit(source, settings)
    let walGone = 0
    while (!signal.aborted) {
      if (!this.isWanted) {
        await this.#restUnwanted(signal)
        continue
      }
      const session = (this.#session = new AbortController())
      this.sessionSignal = AbortSignal.any([signal, session.signal])
      try {
        const onProgress = () => {
          backoff.reset()
          walGone = 0
          keepLimit.progress()
          this.#boxIsWell()
        }
        const opened = await source.open('postbox', this.sessionSignal)
        this.streamed.begin()
        this.rowsSlot.forget()
        await new WalSession(this, opened, onProgress).run(this.sessionSignal)
      } catch (thrown) {
        this.streamed.end()
        this.streaming = false
        if (signal.aborted) break
        if (session.signal.aborted) continue
        this.noteWaiting(this.waiting, false)
        const error = asPostboxError(thrown)
        log.error({ err: error, code: error.code, hint: error.hint }, 'WAL waits in the slot')
        await this.#reportFailure(error)
        const gone = error.code === 'slot_invalid' && ++walGone >= WAL_GONE_TRIES
        const reason = gone
          ? `the server no longer had the WAL of the replication slot ${settings().slot}`
          : await keepLimit.exceeded(error, performance.now()).catch(() => null)
        // The new slot is made at once: until then nothing keeps any WAL.
        if (reason !== null && (await this.#giveUpSlot(reason, signal))) backoff.reset()
        await this.#retry.wait(backoff.next(error.retryAfterMs), signal)
      }
    }
    // The next worker need not stream again what only its row is missing of.
    await this.recorder.recordHeld().catch(() => undefined)
    if (this.recorder.heldFrom === null) await this.rowsSlot.follow(false)
    await this.threads.close()
  }

  /** The settings may have changed: tails keep the new pace, and WAL that is not wanted any more is not read any further. */
  lookAtSettings(): void {
    this.paceChanged.wake()
    if (!this.isWanted) this.#session?.abort(notWanted())
    else if (this.#session === null) this.#retry.wake()
  }

  /** Whether WAL is to be stored at all. */
  get isWanted(): boolean {
    return this.options.settings().stream_wal === 'on'
  }

  /** Says once that WAL is not stored, and rests until it is to be again. */
  async #restUnwanted(signal: AbortSignal): Promise<void> {
    const { catalog, log } = this.options
    this.#session = null
    this.#boxTrouble = false
    log.info('WAL is not stored: the setting stream_wal is off')
    await catalog.reportProblem('wal', null).catch(() => undefined)
    while (!signal.aborted && !this.isWanted) {
      this.#slot.forget(notWanted())
      await this.#retry.wait(REST_MS, signal)
    }
  }

  async #reportFailure(error: PostboxError): Promise<void> {
    this.#slot.failed(error)
    this.#boxTrouble = BOX_TROUBLE.test(error.code)
    if (this.#boxTrouble) this.#baseMayWait = true
    // Between two sessions nobody else tells the age of what waits.
    if (this.waiting) await this.atRisk.report(this.waiting)
    await this.options.catalog.reportProblem('wal', error).catch(() => undefined)
  }

  #boxIsWell(): void {
    const { systemIdentifier } = this.recorder.held
    if (this.#baseMayWait && systemIdentifier !== '') {
      this.#baseMayWait = false
      this.options.catalog.resumeBaseAfterGap(systemIdentifier).catch((thrown: unknown) => {
        this.options.log.warn({ err: thrown }, 'whether a base backup is still needed after a gap is not known')
      })
    }
    if (!this.#boxTrouble) return
    this.#boxTrouble = false
    this.options.catalog.reportProblem('wal', null).catch(() => undefined)
  }

  /**
   * Drops the slot; the next session makes it anew, and records the gap that this leaves. Done to a slot whose WAL was
   * removed, which never streams again, and where the operator set that a gap is better than a full disk.
   *
   * Resolves to whether it could be dropped: its last reader may not have gone yet, and then the next failure tries again.
   */
  async #giveUpSlot(reason: string, signal: AbortSignal): Promise<boolean> {
    const { settings, log, source } = this.options
    const { slot } = settings()
    log.error({ slot, reason }, 'the slot is given up: WAL that is not stored will be missing')
    try {
      const { connection } = await source.open('postbox', signal)
      await dropSlot(connection, slot).finally(() => {
        connection.close()
      })
      this.lossReason = reason
      this.gaveUp = true
      // It would keep the same WAL.
      await this.rowsSlot.follow(false)
      return true
    } catch (thrown) {
      log.error({ err: asPostboxError(thrown), slot }, 'the slot could not be dropped')
      return false
    }
  }
}

const notWanted = (): PostboxError =>
  new PostboxError(
    'config_invalid',
    'WAL is not stored: the setting stream_wal is off',
    "Set it on where the worker may replicate: select backup.configure('stream_wal', 'on').",
  )
