import { keyholderEnv, postboxOk, WorkerProcess } from './command.js'
import { program, type Program } from './program.js'
import { freePort } from './ports.js'
import { SandboxPostgres, scratchDir, startPostgres, type StartOptions } from './postgres.js'
import { run } from './run.js'
import { startS3, type LocalS3 } from './s3/server.js'
import { until } from './until.js'

export interface BackedUpOptions extends StartOptions {
  server?: string
  /** a bucket with versions, as one should have */
  versioned?: boolean
  tls?: boolean
  /** store into that of another server, which closes it */
  beside?: BackedUpServer
  /** length of the grant */
  expires?: string
  /** more of the worker's environment */
  workerEnv?: Record<string, string>
  /** run the worker as the user that runs Postgres, as archive-wal wants it */
  workerAsSandboxUser?: boolean
}

/** A job as backup.jobs shows it. */
export interface JobRow {
  job_id: string
  state: string
  phase: string | null
  bytes_done: string
  bytes_total: string | null
  error_code: string | null
  error_message: string | null
  error_hint: string | null
  attempts: number
}

const BUCKET = 'backups'

const second = () => Math.floor(Date.now() / 1000)

/** A Postgres with the schema installed, a grant, a running worker and a local S3: what a user has on the first day. */
export class BackedUpServer {
  worker!: WorkerProcess
  /** where the worker reads WAL: the same server, unless a test says otherwise */
  source: SandboxPostgres
  #workerProgram: Program | null = null
  #isGuest = false
  /** when it ended */
  #lastBackup = 0

  private constructor(
    /** the server that holds the catalog; another one after a failover */
    public postgres: SandboxPostgres,
    readonly s3: LocalS3,
    readonly server: string,
  ) {
    this.source = postgres
  }

  static async start(options: BackedUpOptions = {}): Promise<BackedUpServer> {
    const {
      server = 'db1',
      versioned = true,
      tls = false,
      beside = null,
      expires = '12h',
      workerEnv = {},
      workerAsSandboxUser = false,
      ...postgresOptions
    } = options
    const s3 = beside?.s3 ?? (await startS3({ buckets: [{ name: BUCKET, versioned }], tls }))
    const postgres = await startPostgres(postgresOptions)
    const backedUp = new BackedUpServer(postgres, s3, server)
    backedUp.#isGuest = beside !== null
    if (workerAsSandboxUser) backedUp.#workerProgram = await program()
    await postboxOk(['install', '--worker-role', 'postbox_worker'], backedUp.databaseEnv('postgres'))
    await backedUp.installGrant(expires)
    backedUp.startWorker(workerEnv)
    await backedUp.worker.says('the worker has begun')
    return backedUp
  }

  /** what the worker's side may know: where the database is, and whom to trust */
  databaseEnv(user = 'postbox_worker'): Record<string, string> {
    return {
      POSTBOX_DATABASE_URL: this.postgres.url({ user }),
      // It goes with the server, however the worker ends.
      POSTBOX_SOCKET: `${this.postgres.socketDir}/worker/postbox.sock`,
      ...(this.s3.caFile === null ? {} : { POSTBOX_CA_FILE: this.s3.caFile }),
    }
  }

  /** what the keyholder knows */
  get keyholderEnv(): Record<string, string> {
    return keyholderEnv(this.s3, BUCKET)
  }

  get bucket(): ReturnType<LocalS3['bucket']> {
    return this.s3.bucket(BUCKET)
  }

  startWorker(env: Record<string, string> = {}): WorkerProcess {
    this.worker = new WorkerProcess({ ...this.databaseEnv(), ...env }, this.#workerProgram)
    return this.worker
  }

  /** @param endpoint where the worker is to post to, if that is not S3 itself */
  async installGrant(expires = '12h', endpoint = this.s3.endpoint): Promise<void> {
    const env = { ...this.keyholderEnv, POSTBOX_S3_ENDPOINT: endpoint }
    const grant = await postboxOk(['grant', '--server', this.server, '--expires', expires], env)
    await this.postgres.query('select backup.install_grant($1)', [grant])
  }

  async startBase(label: string | null = null): Promise<bigint> {
    const [row] = await this.postgres.query<{ job_id: string }>('select backup.start_base($1) job_id', [label])
    return BigInt(row!.job_id)
  }

  async job(jobId: bigint): Promise<JobRow> {
    const [row] = await this.postgres.query<JobRow>('select * from backup.jobs where job_id = $1', [jobId.toString()])
    return row!
  }

  /** Waits until the job has ended, and returns how. */
  async ended(jobId: bigint): Promise<JobRow> {
    return until(`job ${jobId} has ended`, async () => {
      const job = await this.job(jobId)
      return ['done', 'failed', 'canceled'].includes(job.state) ? job : null
    })
  }

  /**
   * A base backup from start to end; throws with the job's error and the worker's log when it fails.
   *
   * Names of backups that begin in one second do not tell which came first, so each begins in another.
   */
  async backUp(label: string | null = null): Promise<bigint> {
    await until('the next second has begun', () => second() !== this.#lastBackup)
    const jobId = await this.startBase(label)
    const job = await this.ended(jobId)
    this.#lastBackup = second()
    if (job.state !== 'done') throw new Error(`${JSON.stringify(job)}\n${this.worker.log}`)
    return jobId
  }

  /** Finishes the segment that is being written and waits until it is stored and recorded. */
  async storeAllWal(): Promise<void> {
    const [row] = await this.postgres.query<{ lsn: string }>('select pg_switch_wal()::text lsn')
    await until(`WAL up to ${row!.lsn} is stored`, async () => {
      const [at] = await this.source.query<{ stored: boolean }>(
        "select coalesce(max(write_lsn) >= $1::pg_lsn, false) stored from pg_stat_replication where application_name = 'postbox'",
        [row!.lsn],
      )
      return at!.stored
    })
  }

  /** Waits until all that was committed before the call is in the box, in whole segments or in tails. */
  async untilDurable(): Promise<void> {
    const [row] = await this.postgres.query<{ lsn: string }>('select pg_current_wal_flush_lsn()::text lsn')
    await until(`WAL up to ${row!.lsn} is durable`, async () => {
      const [at] = await this.source.query<{ durable: boolean }>(
        "select coalesce(max(flush_lsn) >= $1::pg_lsn, false) durable from pg_stat_replication where application_name = 'postbox'",
        [row!.lsn],
      )
      return at!.durable
    })
  }

  /**
   * A second server under the same name, with a copy of the data directory: the beginning of a split brain. Server and
   * worker are stopped for it, and start neither here nor there. Remove the copy first.
   */
  async copy(): Promise<BackedUpServer> {
    await this.worker.stop()
    await this.postgres.stop()
    const { version } = this.postgres
    const dataDir = await scratchDir('copy')
    await run('cp', ['-a', '--reflink=auto', `${this.postgres.dataDir}/.`, dataDir])
    const postgres = new SandboxPostgres(version, dataDir, await scratchDir(`pg${version}`), await freePort(), {})
    const copy = new BackedUpServer(postgres, this.s3, this.server)
    copy.#isGuest = true
    return copy
  }

  /** Starts the server, if it is down, and its worker. */
  async resume(): Promise<void> {
    if (this.postgres.pid === null) await this.postgres.start()
    await this.startWorker().says('streaming WAL')
  }

  async remove(): Promise<void> {
    await this.worker?.kill9()
    await this.postgres.remove()
    if (!this.#isGuest) await this.s3.close()
  }
}
