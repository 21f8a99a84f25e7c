import type { Logger } from 'pino'
import type { Catalog } from '../catalog/catalog.js'
import type { Settings } from '../catalog/settings.js'
import type { Secret } from '../secret.js'
import { version } from '../version.js'
import { GrantKeeper } from './grant-keeper.js'
import { JobRunner } from './job-runner.js'
import { LiveBox } from './live-box.js'
import { SynchronousWatch } from './synchronous-watch.js'
import { WalKeeper } from './wal-keeper.js'

export interface WorkerOptions {
  databaseUrl: Secret
  issuer: { url: string; token: Secret } | null
  /** PEM of a certificate authority for box and issuer, beside the usual ones */
  ca: string | undefined
  /** frames compressed at once */
  threads: number
  log: Logger
}

/** All that a worker does while it holds the worker lock: grants, WAL and jobs, side by side. */
export class Term {
  readonly #grants: GrantKeeper
  readonly #box: LiveBox
  readonly #wal: WalKeeper
  readonly #watch: SynchronousWatch
  readonly #runner: JobRunner
  #settings: Settings

  private constructor(
    readonly options: WorkerOptions,
    readonly catalog: Catalog,
    settings: Settings,
    readonly ending: AbortController,
  ) {
    const { databaseUrl, issuer, ca, log } = options
    this.#settings = settings
    this.#grants = new GrantKeeper({ catalog, issuer, ca, log })
    const live = () => this.#settings
    this.#box = new LiveBox({ grants: this.#grants, settings: live, ca, signal: ending.signal, catalog, log })
    const server = () => this.#grants.current().server
    this.#watch = new SynchronousWatch(catalog)
    const synchronous = () => this.#watch.synchronous
    this.#wal = new WalKeeper({ databaseUrl, catalog, box: this.#box.forWal, server, settings: live, synchronous, log })
    this.#runner = new JobRunner({ catalog, log, context: () => this.#jobContext() })
  }

  /** Takes over the catalog: what a dead worker left running goes back to the queue. The lock must be held. */
  static async begin(options: WorkerOptions, catalog: Catalog, ending: AbortController): Promise<Term> {
    const requeued = await catalog.startWorker(version)
    const term = new Term(options, catalog, await catalog.settings(), ending)
    await term.#grants.load()
    options.log.info({ version, requeued }, 'the worker has begun')
    return term
  }

  /** A NOTIFY came. What it says is looked up, never believed. */
  notice(payload: string): void {
    if (payload === 'job') this.#runner.wake()
    else if (payload === 'cancel') this.#runner.checkCanceled()
    else if (payload === 'setting') this.#orEnd(this.#readSettings())
    else if (payload === 'grant') this.#orEnd(this.#grants.load())
  }

  /** Runs until `signal` is aborted or one part fails, which ends the others. */
  async run(signal: AbortSignal): Promise<void> {
    const parts = [this.#grants, this.#wal, this.#runner, this.#watch].map((part) => part.run(signal))
    for (const part of parts) this.#orEnd(part)
    await Promise.allSettled(parts)
    await this.#box.close()
  }

  #orEnd(part: Promise<void>): void {
    part.catch((thrown: unknown) => {
      this.ending.abort(thrown)
    })
  }

  async #readSettings(): Promise<void> {
    this.#settings = await this.catalog.settings()
    this.#box.applySettings()
  }

  async #jobContext(): Promise<Awaited<ReturnType<JobRunner['options']['context']>>> {
    await this.#readSettings()
    const { databaseUrl, threads, log } = this.options
    return {
      databaseUrl,
      catalog: this.catalog,
      box: this.#box.forJobs,
      grant: () => this.#grants.current(),
      settings: this.#settings,
      wal: this.#wal,
      threads,
      log,
    }
  }
}
