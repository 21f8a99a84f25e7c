import type { Catalog } from '../catalog/catalog.js'
import type { TableProgress } from '../catalog/jobs.js'

/** A row is rewritten at most this often, however fast parts are stored. */
const REPORT_EVERY_MS = 2000
/** A cancellation must be seen even when its NOTIFY was lost. */
const CANCEL_POLL_MS = 1000

export type Phase = 'waiting for the checkpoint' | 'reading definitions' | 'copying' | 'waiting for WAL' | 'committing'

/** Writes how far a job is into its row, and notices that it was canceled. The caller stops it. */
export class JobProgress {
  #phase: Phase = 'waiting for the checkpoint'
  #bytesDone = 0
  #bytesTotal: number | null = null
  #tables: (() => TableProgress) | null = null
  #changed = true
  readonly #reporting: NodeJS.Timeout
  readonly #polling: NodeJS.Timeout
  #writing: Promise<void> = Promise.resolve()

  constructor(
    readonly catalog: Catalog,
    readonly jobId: bigint,
    readonly onCancel: () => void,
  ) {
    this.#reporting = setInterval(() => {
      this.#report()
    }, REPORT_EVERY_MS)
    this.#polling = setInterval(() => {
      this.checkCanceled()
    }, CANCEL_POLL_MS)
  }

  enter(phase: Phase): void {
    this.#phase = phase
    this.#changed = true
    this.#report()
  }

  expect(bytesTotal: number): void {
    this.#bytesTotal = bytesTotal
    this.#changed = true
  }

  /** Counts raw bytes whose part is stored. */
  add(bytes: number): void {
    this.#bytesDone += bytes
    // The server's estimate is taken before files grow.
    if (this.#bytesTotal !== null && this.#bytesDone > this.#bytesTotal) this.#bytesTotal = this.#bytesDone
    this.#changed = true
  }

  /** From now on each report says what `tables` gives. */
  follow(tables: () => TableProgress): void {
    this.#tables = tables
  }

  checkCanceled(): void {
    this.catalog.isCancelRequested(this.jobId).then(
      (canceled) => {
        if (canceled) this.onCancel()
      },
      // The next poll asks again; a lost database ends the job by its own connection.
      () => undefined,
    )
  }

  /** Ends the timers; resolves when no write is under way. */
  async stop(): Promise<void> {
    clearInterval(this.#reporting)
    clearInterval(this.#polling)
    await this.#writing
  }

  #report(): void {
    // What was said before is not written again: see backup._report_progress().
    if (!this.#changed && !this.#tables) return
    this.#changed = false
    const tables = this.#tables?.() ?? null
    const progress = { phase: this.#phase, bytes_done: this.#bytesDone, bytes_total: this.#bytesTotal, tables }
    this.#writing = this.#writing.then(() => this.catalog.reportProgress(this.jobId, progress)).catch(() => undefined)
  }
}
