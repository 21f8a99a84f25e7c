import { appendFile, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Client, type QueryResultRow } from 'pg'
import { postgresHome, type PostgresVersion } from './binaries.js'
import { endWithUs, forgetProcess } from './guard.js'
import { freePort } from './ports.js'
import { childrenOf, killAll, running } from './processes.js'
import { plainEnv, run } from './run.js'
import { removeScratch, scratchDir } from './scratch.js'
import { freshDataDir } from './template.js'
import { until } from './until.js'

export { postgresVersions, type PostgresVersion } from './binaries.js'
export { removeScratch, sandboxOwned, scratchDir } from './scratch.js'
export { sandboxUser } from './user.js'

export interface ConnectOptions {
  /** default: the superuser `postgres` */
  user?: string
  /** default: `postgres` */
  database?: string
  password?: string
}

export interface StartOptions {
  /** default: the newest */
  version?: PostgresVersion
  /** more arguments for initdb */
  initdb?: string[]
  /** written to postgresql.conf */
  settings?: Record<string, string>
  /** lines of pg_hba.conf for TCP connections, instead of trust for everybody; the unix socket keeps trust */
  hba?: string
  /** holds bin, lib and share, of that version; default: the npm package */
  programs?: string
  /** where to put the data directory, empty or not yet there; its parents must be open to the sandbox user */
  dataDir?: string
}

export interface StartFromOptions {
  version: PostgresVersion
  dataDir: string
  /** given on the command line, so that the directory stays as it is */
  settings?: Record<string, string>
  /** added to the server's environment: the S3 keys that its restore_command needs */
  env?: Record<string, string>
}

const SETTINGS = {
  fsync: 'off',
  wal_level: 'replica',
  max_wal_senders: '10',
  shared_buffers: '16MB',
  timezone: 'UTC',
  log_timezone: 'UTC',
}

const TRUST = `host all all 127.0.0.1/32 trust
host replication all 127.0.0.1/32 trust`

/** Starts a new, empty server of its own system identifier. */
export async function startPostgres(options: StartOptions = {}): Promise<SandboxPostgres> {
  const version = options.version ?? 18
  const home = await scratchDir(`pg${version}`)
  const dataDir = options.dataDir ?? join(home, 'data')
  await freshDataDir(version, options.initdb ?? [], dataDir)
  const settings = Object.entries({ ...SETTINGS, ...options.settings })
  const lines = settings.map(([name, value]) => `${name} = '${value.replaceAll("'", "''")}'`)
  await appendFile(join(dataDir, 'postgresql.conf'), `\n# sandbox\n${lines.join('\n')}\n`)
  const local = 'local all all trust\nlocal replication all trust'
  await writeFile(join(dataDir, 'pg_hba.conf'), `${local}\n${options.hba ?? TRUST}\n`)
  return started(new SandboxPostgres(version, dataDir, home, await freePort(), {}, {}, options.programs))
}

/**
 * Starts a server from a data directory that something else made, with plain `pg_ctl start`.
 *
 * Returns when it accepts connections, which may be before recovery has ended. Throws with the end of its log.
 */
export async function startFromDataDir(options: StartFromOptions): Promise<SandboxPostgres> {
  const { version, dataDir, settings = {}, env = {} } = options
  return started(
    new SandboxPostgres(version, dataDir, await scratchDir(`pg${version}`), await freePort(), settings, env),
  )
}

async function started(postgres: SandboxPostgres): Promise<SandboxPostgres> {
  try {
    await postgres.start()
  } catch (error) {
    await postgres.remove()
    throw error
  }
  return postgres
}

/** A throwaway server on the loopback address and on a unix socket. Ends with the test process, at the latest. */
export class SandboxPostgres {
  #pid: number | null = null

  constructor(
    readonly version: PostgresVersion,
    readonly dataDir: string,
    /** of the unix socket; the log is here too */
    readonly socketDir: string,
    public port: number,
    private readonly settings: Record<string, string>,
    private readonly env: Record<string, string> = {},
    private readonly programs?: string,
  ) {}

  /** The postmaster's process id, or null while it is stopped. */
  get pid(): number | null {
    return this.#pid
  }

  get logFile(): string {
    return join(this.socketDir, 'log')
  }

  /** A connection string for TCP. */
  url({ user = 'postgres', database = 'postgres', password }: ConnectOptions = {}): string {
    const login = encodeURIComponent(user) + (password === undefined ? '' : `:${encodeURIComponent(password)}`)
    return `postgresql://${login}@127.0.0.1:${this.port}/${encodeURIComponent(database)}`
  }

  /** A session over the unix socket, where every user is trusted. The caller ends it. */
  async connect({ user = 'postgres', database = 'postgres', password }: ConnectOptions = {}): Promise<Client> {
    const client = new Client({ host: this.socketDir, port: this.port, user, database, password })
    // A server that goes away is said by the next query; without a listener it would end the test process.
    client.on('error', () => undefined)
    await client.connect()
    return client
  }

  /** Runs one statement in a session of its own, as superuser on the database `postgres` if not told otherwise. */
  async query<T extends QueryResultRow = QueryResultRow>(
    sql: string,
    params: unknown[] = [],
    options: ConnectOptions = {},
  ): Promise<T[]> {
    const client = await this.connect(options)
    try {
      return (await client.query<T>(sql, params)).rows
    } finally {
      await client.end()
    }
  }

  /** Starts it, again or for the first time. The port moves only if another process has taken it. */
  async start(): Promise<void> {
    for (let tries = 1; ; tries++) {
      const logFrom = await stat(this.logFile).then(
        ({ size }) => size,
        () => 0,
      )
      try {
        await this.#pgCtl(['start', '-w', '-t', '120', '-l', this.logFile, '-o', this.#arguments()])
        break
      } catch (error) {
        const log = (await readFile(this.logFile).catch(() => Buffer.alloc(0))).subarray(logFrom).toString()
        if (log.includes('Address already in use') && tries < 5) {
          this.port = await freePort()
          continue
        }
        const last = log.trimEnd().split('\n').slice(-30).join('\n')
        throw new Error(`Postgres ${this.version} did not start in ${this.dataDir}:\n${last}`, { cause: error })
      }
    }
    this.#pid = Number.parseInt(await readFile(join(this.dataDir, 'postmaster.pid'), 'utf8'), 10)
    endWithUs(this.#pid, 'QUIT')
  }

  /** Stops it: `fast` with a shutdown checkpoint, `immediate` without, as in a crash. Nothing happens if it is down. */
  async stop(mode: 'fast' | 'immediate' = 'fast'): Promise<void> {
    if (this.#pid === null) return
    const pid = this.#pid
    const alive = await stat(join(this.dataDir, 'postmaster.pid')).then(
      () => true,
      () => false,
    )
    if (alive) await this.#pgCtl(['stop', '-w', '-t', '120', '-m', mode])
    forgetProcess(pid)
    this.#pid = null
  }

  /** Kills the postmaster and all its processes at once, and waits until they are gone. */
  async kill9(): Promise<void> {
    if (this.#pid === null) return
    await killAll([this.#pid, ...(await childrenOf(this.#pid))])
    await this.#buried(this.#pid)
  }

  /** Kills the postmaster alone, and waits until its processes have ended by themselves, as they do when they see it. */
  async killPostmaster(): Promise<void> {
    if (this.#pid === null) return
    const children = await childrenOf(this.#pid)
    await killAll([this.#pid])
    for (const pid of children) await until(`process ${pid} has ended`, async () => !(await running(pid)))
    await this.#buried(this.#pid)
  }

  async #buried(pid: number): Promise<void> {
    forgetProcess(pid)
    // In a container whose first process collects no orphans the dead postmaster stays a zombie, and the next one would
    // take it, by these lock files, for a running server.
    await rm(join(this.dataDir, 'postmaster.pid'))
    await rm(join(this.socketDir, `.s.PGSQL.${this.port}.lock`))
    this.#pid = null
  }

  /** The server's log since its first start. */
  async log(): Promise<string> {
    return readFile(this.logFile, 'utf8')
  }

  /** Stops it and deletes everything, its data directory included. */
  async remove(): Promise<void> {
    await this.stop('immediate')
    await rm(this.dataDir, { recursive: true, force: true })
    await removeScratch(this.socketDir)
  }

  // Where it listens is no part of the data directory: a copy of that must not fight with it for the port.
  #arguments(): string {
    const settings = {
      port: String(this.port),
      listen_addresses: '127.0.0.1',
      unix_socket_directories: this.socketDir,
      ...this.settings,
    }
    const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`
    return Object.entries(settings)
      .map(([name, value]) => `-c ${quoted(`${name}=${value}`)}`)
      .join(' ')
  }

  async #pgCtl(args: string[]): Promise<void> {
    const directory = this.programs ?? (await postgresHome(this.version)).directory
    const env = { ...plainEnv, ...this.env }
    await run(join(directory, 'bin/pg_ctl'), ['-D', this.dataDir, ...args], { asSandboxUser: true, env })
  }
}
