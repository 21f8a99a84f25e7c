import type { Logger } from 'pino'
import { addCounts } from '../box/post-counts.js'
import type { Throttle } from '../box/throttle.js'
import type { Catalog, ClaimedJob } from '../catalog/catalog.js'
import type { Settings } from '../catalog/settings.js'
import type { WorkerSession } from '../catalog/worker-session.js'
import type { LogLevel } from '../config.js'
import type { Secret } from '../secret.js'
import type { WalAge } from '../source/wal-age.js'
import { version } from '../version.js'
import { ArchiveSocket } from './archive-socket.js'
import { CheckWatch } from './check-watch.js'
import { ClockWatch } from './clock-watch.js'
import { GrantKeeper } from './grant-keeper.js'
import { JobLauncher } from './job-launcher.js'
import { JobRunner } from './job-runner.js'
import { openBox } from './open-box.js'
import { PositionWatch } from './position-watch.js'
import type { Source } from './source.js'
import { ScheduleKeeper } from './schedule-keeper.js'
import type { HeldSegments } from './segment-recorder.js'
import { SynchronousWatch } from './synchronous-watch.js'
import type { WaitingChanges } from './waiting-changes.js'
import { WalKeeper } from './wal-keeper.js'
import { Webhook } from './webhook.js'
import type { WorkerState } from './worker-state.js'

export interface WorkerOptions {
  /** of several, that of the primary is used; see find-primary.ts */
  databaseUrls: readonly Secret[]
  /** see source.ts */
  sourceUrls: readonly Secret[]
  issuer: { url: string; token: Secret } | null
  /** PEM of the certificates to trust for box and issuer, in place of the public ones */
  ca: string | undefined
  /** frames compressed at once */
  threads: number
  /** where archive-wal finds us; null for the usual place */
  socket: string | null
  log: Logger
  /** what is shown of the worker */
  state: WorkerState
}

/** The servers of one term: all that is asked or told in it goes to these. */
export interface Servers {
  databaseUrl: Secret
  session: WorkerSession
  catalog: Catalog
  source: Source
}

/** WAL has connections of its own, so that a base backup never makes it wait. */
const WAL_CONNECTIONS = 4

/** What is known whichever server holds the catalog. */
export interface TermMemory {
  age: WalAge
  held: HeldSegments
  changes: WaitingChanges
}

/** All that a worker does while it holds the worker lock: grants, WAL and jobs, side by side. */
export class Term {
  readonly #grants: GrantKeeper
  readonly #box: ReturnType<typeof openBox>
  readonly #wal: WalKeeper
  readonly #watch: SynchronousWatch
  readonly #position: PositionWatch
  readonly #runner: JobRunner
  readonly #archive: ArchiveSocket
  readonly #launcher: JobLauncher
  readonly #schedules: ScheduleKeeper
  readonly #checks: CheckWatch
  readonly #webhook: Webhook
  #settings: Settings

  private constructor(
    readonly options: WorkerOptions,
    readonly servers: Servers,
    settings: Settings,
    { age, held, changes }: TermMemory,
    readonly ending: AbortController,
  ) {
    const { issuer, ca, threads, log, state } = options
    const { catalog, session, source } = servers
    this.#settings = settings
    const live = () => this.#settings
    const onChange = () => {
      this.#launcher.tell({ kind: 'grant', grant: this.#grants.current() })
      this.#wal.retryNow()
    }
    this.#grants = new GrantKeeper({ catalog, issuer, ca, log, onChange })
    const grant = () => this.#grants.current()
    const refresh = (signal: AbortSignal) => this.#grants.refresh(signal)
    const throttle = this.#walThrottle()
    const clock = new ClockWatch()
    const onClock = (skewMs: number) => {
      clock.sawBox(skewMs)
    }
    this.#box = openBox({
      grant,
      refresh,
      connections: WAL_CONNECTIONS,
      throttle,
      ca,
      catalog,
      onClock,
      counts: state.counts,
    })
    const synchronous = () => this.#watch.synchronous
    const server = () => grant().server
    const box = this.#box
    const { wal: history } = state
    this.#wal = new WalKeeper({
      source,
      catalog,
      box,
      server,
      settings: live,
      threads,
      synchronous,
      age,
      held,
      history,
      log,
    })
    this.#watch = new SynchronousWatch(catalog, this.#wal)
    this.#position = new PositionWatch(catalog, session, this.#wal)
    this.#archive = new ArchiveSocket({
      catalog,
      box,
      server,
      compressionLevel: () => this.#settings.compression_level,
      streamed: this.#wal.streamed,
      path: options.socket,
      log,
    })
    this.#launcher = new JobLauncher({
      wal: this.#wal,
      refreshGrant: refresh,
      grant,
      onCounts: (counts) => {
        addCounts(state.counts, counts)
      },
    })
    this.#schedules = new ScheduleKeeper(catalog, log, () => {
      state.turned('schedules')
    })
    this.#webhook = new Webhook(catalog, ca, changes, log)
    this.#checks = new CheckWatch({
      catalog,
      clock,
      log,
      onChange: (checks) => {
        this.#webhook.send(checks)
      },
      onLook: (checks) => {
        state.looked(checks)
      },
    })
    this.#runner = new JobRunner({ catalog, log, runJob: (job, signal) => this.#runJob(job, signal) })
  }

  /**
   * Takes over the catalog: what a dead worker left running goes back to the queue. The lock must be held.
   *
   * `memory` outlives terms: when the server restarts, or another takes over, what waited goes on waiting.
   */
  static async begin(
    options: WorkerOptions,
    servers: Servers,
    memory: TermMemory,
    ending: AbortController,
  ): Promise<Term> {
    const { catalog } = servers
    const ended = await catalog.enterLife()
    if (ended !== null) {
      const hint =
        'Run "postbox rebuild-catalog" where the S3 keys are: this catalog does not know what was stored later.'
      options.log.warn(
        { ended, hint },
        'this server was restored: it goes on as another life of the one that was backed up',
      )
    }
    const { since, isFirst } = await catalog.atRiskSince()
    if (since) memory.age.startsWith(since)
    if (isFirst) options.state.wal.ignoreBefore(Date.now())
    const requeued = await catalog.startWorker(version)
    const term = new Term(options, servers, await catalog.settings(), memory, ending)
    await term.#grants.begin(ending.signal)
    options.log.info({ version, requeued }, 'the worker has begun')
    return term
  }

  /** A NOTIFY came. What it says is looked up, never believed. */
  notice(payload: string): void {
    if (payload === 'job') this.#runner.wake()
    else if (payload === 'cancel') this.#launcher.tell({ kind: 'check_canceled' })
    else if (payload === 'schedule') this.#schedules.wake()
    else if (payload === 'setting') this.#orEnd(this.#readSettings())
    else if (payload === 'grant') this.#orEnd(this.#grants.load())
  }

  /** Runs until `signal` is aborted or one part fails, which ends the others. */
  async run(signal: AbortSignal): Promise<void> {
    const { state } = this.options
    state.begin({
      catalog: this.servers.catalog,
      walWanted: () => this.#wal.isWanted,
      streaming: () => this.#wal.streaming,
      durable: () => (this.#wal.isProven ? this.#wal.durable : null),
      grantExpiresAt: () => this.#grants.expiresAt,
    })
    const upkeep = [this.#schedules, this.#checks, this.#webhook]
    const all = [this.#grants, this.#wal, this.#runner, this.#watch, this.#position, this.#archive, ...upkeep]
    const parts = all.map((part) => part.run(signal))
    for (const part of parts) this.#orEnd(part)
    await Promise.allSettled(parts)
    state.end()
    await this.#box[Symbol.asyncDispose]()
  }

  #orEnd(part: Promise<void>): void {
    part.catch((thrown: unknown) => {
      this.ending.abort(thrown)
    })
  }

  async #readSettings(): Promise<void> {
    this.#settings = await this.servers.catalog.settings()
    this.#wal.lookAtSettings()
    this.#webhook.lookAtSettings()
    this.#launcher.tell({ kind: 'rate', bytesPerSecond: this.#settings.upload_rate_limit })
  }

  /** Each in a thread of its own, so that WAL never waits for one. */
  async #runJob(job: ClaimedJob, signal: AbortSignal): Promise<void> {
    await this.#readSettings()
    const { ca, threads, log } = this.options
    const { databaseUrl, source } = this.servers
    const data = {
      job,
      databaseUrl: databaseUrl.reveal(),
      sourceUrls: source.inOrder.map((url) => url.reveal()),
      ca,
      threads,
      logLevel: log.level as LogLevel,
      settings: this.#settings,
      grant: this.#grants.current(),
    }
    await this.#launcher.run(data, signal)
  }

  /** WAL is never slowed; the job under way, which shares the line, makes up for it. */
  #walThrottle(): Throttle {
    return {
      bytesPerSecond: 0,
      setRate: () => undefined,
      take: (bytes) => {
        if (this.#settings.upload_rate_limit > 0) this.#launcher.tell({ kind: 'debit', bytes })
        return Promise.resolve()
      },
    }
  }
}
