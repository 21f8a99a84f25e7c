import { spawn } from 'node:child_process'
import { access, chown, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { bareEnvironment, inheritedEnvironment } from '../../config.js'
import { PostboxError } from '../../errors.js'
import { shellQuote } from '../restore-command.js'
import type { Owner } from '../write-files.js'
import { endRecovery } from './end-recovery.js'

export interface ScratchServerOptions {
  /** of pg_ctl */
  programs: string
  /** of Postgres */
  major: number
  dataDir: string
  /** for its socket, log and configuration; short, as a socket's path may have 107 bytes */
  home: string
  /** who runs it; null for ourselves */
  owner: Owner
  /** name=value, over what the drill sets */
  settings: readonly string[]
  timeoutSeconds: number
  signal: AbortSignal
}

/**
 * What a restored server must not do: archive WAL into the real archive, follow or feed other servers, run jobs of
 * extensions, listen. It starts with a configuration of its own, so that it does not matter where the real one lies, and
 * nothing that the database's owner has set names a command or a library.
 */
const HARMLESS: Record<string, string> = {
  listen_addresses: '',
  archive_mode: 'off',
  archive_command: '',
  archive_cleanup_command: '',
  hot_standby: 'off',
  primary_conninfo: '',
  synchronous_standby_names: '',
  max_logical_replication_workers: '0',
  shared_preload_libraries: '',
  session_preload_libraries: '',
  local_preload_libraries: '',
  dynamic_library_path: '$libdir',
  jit_provider: 'llvmjit',
  ssl: 'off',
  ssl_passphrase_command: '',
  fsync: 'off',
  autovacuum: 'off',
  max_prepared_transactions: '1000',
  max_locks_per_transaction: '256',
  // Without it a tablespace within the data directory is taken for damage.
  allow_in_place_tablespaces: 'on',
  logging_collector: 'off',
  log_destination: 'stderr',
}
const NO_EVENT_TRIGGERS = { event_triggers: 'off' }
const PORT = 5432
const POLL_MS = 200

/** A server on a restored directory that can be reached through a socket by its owner alone. */
export class ScratchServer {
  constructor(readonly options: ScratchServerOptions) {}

  get socketDir(): string {
    return this.options.home
  }

  get log(): string {
    return join(this.options.home, 'postgres.log')
  }

  /**
   * Starts it on what was restored, and stops it when recovery has ended and before any code of the database could run: no
   * job, no session. restore_command needs the S3 keys, so they are in the environment of this server and of no other.
   *
   * Throws `drill_failed` with what its log says.
   */
  async recover(): Promise<void> {
    const { home, dataDir } = this.options
    const recovered = join(home, 'recovered')
    const recovery_end_command = `touch ${shellQuote(recovered).replaceAll('%', '%%')}; sleep 1000000`
    await this.#start({ recovery_end_command }, inheritedEnvironment(this.#connection))
    await this.#untilThere(recovered)
    // What the end-of-recovery checkpoint has left is a server that was stopped cleanly.
    const { code, said } = await this.#stop('immediate')
    if (code !== 0) throw failed(said)
    await endRecovery(dataDir)
  }

  /** Starts it for who connects, with nothing of ours in its environment. Throws `drill_failed` with what its log says. */
  async start(): Promise<void> {
    await this.#start({}, this.#environment)
  }

  async #start(more: Record<string, string>, environment: Record<string, string | undefined>): Promise<void> {
    const { home, owner, dataDir, timeoutSeconds } = this.options
    const files = { 'postgresql.conf': '', 'pg_hba.conf': 'local all all trust\n', 'pg_ident.conf': '' }
    for (const [name, text] of Object.entries(files)) {
      await writeFile(join(home, name), text, { mode: 0o600 })
      if (owner) await chown(join(home, name), owner.uid, owner.gid)
    }
    const all = {
      ...HARMLESS,
      ...more,
      config_file: join(home, 'postgresql.conf'),
      hba_file: join(home, 'pg_hba.conf'),
      ident_file: join(home, 'pg_ident.conf'),
      unix_socket_directories: home,
      port: String(PORT),
    }
    const options = Object.entries({ ...all, ...this.#given }).map(([name, value]) => `-c ${name}=${shellQuote(value)}`)
    const args = ['start', '-D', dataDir, '-w', '-t', String(timeoutSeconds), '-l', this.log, '-o', options.join(' ')]
    const { code, said } = await this.run('pg_ctl', args, environment)
    this.options.signal.throwIfAborted()
    if (code !== 0) throw failed((await this.#lastWords()) ?? said)
  }

  /** Stops it cleanly, so that every page is on disk; at once when that fails. */
  async stop(): Promise<void> {
    if ((await this.#stop('fast')).code !== 0) await this.#stop('immediate')
  }

  #stop(mode: string) {
    return this.run('pg_ctl', ['stop', '-D', this.options.dataDir, '-m', mode, '-w', '-t', '600'])
  }

  /** Connects; the caller ends it. Throws `drill_failed`. */
  async connect(user: string, database: string): Promise<pg.Client> {
    this.options.signal.throwIfAborted()
    const client = new pg.Client({
      host: this.socketDir,
      port: PORT,
      user,
      database,
      // Whatever the server asks for.
      password: () => '',
      options: this.#sessionOptions,
      connectionTimeoutMillis: 15_000,
    })
    client.on('error', () => undefined)
    try {
      await client.connect()
      return client
    } catch (thrown) {
      await client.end().catch(() => undefined)
      throw failed((thrown as Error).message)
    }
  }

  /** Waits for a file as long as the server runs. Throws `drill_failed` when it does not any more, or for too long. */
  async #untilThere(file: string): Promise<void> {
    const { signal, timeoutSeconds, dataDir } = this.options
    const end = performance.now() + timeoutSeconds * 1000
    const isMissing = () =>
      access(file).then(
        () => false,
        () => true,
      )
    while (await isMissing()) {
      signal.throwIfAborted()
      const { code, said } = await this.run('pg_ctl', ['status', '-D', dataDir])
      if (code !== 0) throw failed((await this.#lastWords()) ?? said)
      if (performance.now() > end) throw failed(`recovery takes longer than ${timeoutSeconds} s`)
      await delay(POLL_MS, undefined, { signal })
    }
  }

  get #given(): Record<string, string> {
    return Object.fromEntries(this.options.settings.map((one) => one.split(/=(.*)/s).slice(0, 2) as [string, string]))
  }

  /** Said by the client, which settings of a database or role do not override. */
  get #sessionOptions(): string {
    const { major } = this.options
    const off = { session_preload_libraries: '', local_preload_libraries: '', ...(major < 17 ? {} : NO_EVENT_TRIGGERS) }
    const given = this.#given
    const own = Object.entries(off).filter(([name]) => !(name in given))
    return own.map(([name, value]) => `-c ${name}=${value}`).join(' ')
  }

  get #connection(): Record<string, string> {
    return { LC_ALL: 'C', PGHOST: this.socketDir, PGPORT: String(PORT), PGOPTIONS: this.#sessionOptions }
  }

  /** Code of the database runs in it, or with a connection to who does. */
  get #environment(): Record<string, string | undefined> {
    return bareEnvironment({ HOME: this.options.home, ...this.#connection })
  }

  /** Runs one of Postgres's programs as the server's owner. Resolves to its exit code and what it printed. */
  async run(
    name: string,
    args: readonly string[],
    env: Record<string, string | undefined> = this.#environment,
  ): Promise<{ code: number | null; said: string }> {
    const { programs, owner, signal, home } = this.options
    const child = spawn(join(programs, name), args, {
      cwd: home,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(owner ?? {}),
    })
    const end = () => child.kill('SIGTERM')
    signal.addEventListener('abort', end, { once: true })
    let said = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => (said = (said + text).slice(-20_000)))
    }
    try {
      return await new Promise((resolve, reject) => {
        child.once('error', reject)
        // Not "close": the server keeps what pg_ctl gave it.
        child.once('exit', (code) => {
          resolve({ code, said: said.trim() })
        })
      })
    } finally {
      signal.removeEventListener('abort', end)
      child.stdout.destroy()
      child.stderr.destroy()
    }
  }

  async #lastWords(): Promise<string | null> {
    const log = await readFile(this.log, 'utf8').catch(() => '')
    const lines = log.split('\n').filter((line) => line !== '')
    return lines.findLast((line) => /\b(FATAL|PANIC):/.test(line)) ?? lines.at(-1) ?? null
  }
}

/** Makes a folder for the server's owner alone. */
export async function makeHome(directory: string, owner: Owner): Promise<void> {
  await mkdir(directory, { mode: 0o700 })
  if (owner) await chown(directory, owner.uid, owner.gid)
}

function failed(why: string): PostboxError {
  const hint = 'Settings that the data needs, such as shared_preload_libraries, can be given with --set name=value.'
  return new PostboxError('drill_failed', `the restored server did not come up: ${why}`, hint)
}
