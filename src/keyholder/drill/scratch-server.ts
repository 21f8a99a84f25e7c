import { spawn } from 'node:child_process'
import { chown, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { inheritedEnvironment } from '../../config.js'
import { PostboxError } from '../../errors.js'
import type { Owner } from '../write-files.js'

export interface ScratchServerOptions {
  /** of pg_ctl */
  programs: string
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
 * extensions, listen. It starts with a configuration of its own, so that it does not matter where the real one lies.
 */
const HARMLESS: Record<string, string> = {
  listen_addresses: '',
  archive_mode: 'off',
  hot_standby: 'off',
  primary_conninfo: '',
  synchronous_standby_names: '',
  max_logical_replication_workers: '0',
  shared_preload_libraries: '',
  session_preload_libraries: '',
  local_preload_libraries: '',
  jit_provider: 'llvmjit',
  ssl: 'off',
  fsync: 'off',
  autovacuum: 'off',
  max_prepared_transactions: '1000',
  max_locks_per_transaction: '256',
  // Without it a tablespace within the data directory is taken for damage.
  allow_in_place_tablespaces: 'on',
  logging_collector: 'off',
  log_destination: 'stderr',
}
const PORT = 5432
/** SQLSTATE of a server that recovers */
const STARTING = '57P03'
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

  /** Starts it. pg_ctl is content before recovery has ended: see connect(). Throws `drill_failed` with what its log says. */
  async start(): Promise<void> {
    const { home, owner, dataDir, settings, timeoutSeconds } = this.options
    const files = { 'postgresql.conf': '', 'pg_hba.conf': 'local all all trust\n', 'pg_ident.conf': '' }
    for (const [name, text] of Object.entries(files)) {
      await writeFile(join(home, name), text, { mode: 0o600 })
      if (owner) await chown(join(home, name), owner.uid, owner.gid)
    }
    const all = {
      ...HARMLESS,
      config_file: join(home, 'postgresql.conf'),
      hba_file: join(home, 'pg_hba.conf'),
      ident_file: join(home, 'pg_ident.conf'),
      unix_socket_directories: home,
      port: String(PORT),
    }
    const given = Object.fromEntries(settings.map((one) => one.split(/=(.*)/s).slice(0, 2) as [string, string]))
    const options = Object.entries({ ...all, ...given }).map(([name, value]) => `-c ${name}=${shellQuoted(value)}`)
    const args = ['start', '-D', dataDir, '-w', '-t', String(timeoutSeconds), '-l', this.log, '-o', options.join(' ')]
    const { code, said } = await this.run('pg_ctl', args)
    this.options.signal.throwIfAborted()
    if (code !== 0) throw failed((await this.#lastWords()) ?? said)
  }

  /** Stops it cleanly, so that every page is on disk; at once when that fails. */
  async stop(): Promise<void> {
    const stop = (mode: string) =>
      this.run('pg_ctl', ['stop', '-D', this.options.dataDir, '-m', mode, '-w', '-t', '600'])
    if ((await stop('fast')).code !== 0) await stop('immediate')
  }

  /** Connects as soon as recovery has ended. Throws `drill_failed` when that does not happen in time. */
  async connect(user: string, database: string): Promise<pg.Client> {
    const { signal, timeoutSeconds, dataDir } = this.options
    const end = performance.now() + timeoutSeconds * 1000
    for (;;) {
      signal.throwIfAborted()
      const client = new pg.Client({
        host: this.socketDir,
        port: PORT,
        user,
        database,
        connectionTimeoutMillis: 15_000,
      })
      client.on('error', () => undefined)
      try {
        await client.connect()
        return client
      } catch (thrown) {
        const { code, message } = thrown as { code?: string; message: string }
        await client.end().catch(() => undefined)
        const runs = (await this.run('pg_ctl', ['status', '-D', dataDir])).code === 0
        if (!runs) throw failed((await this.#lastWords()) ?? message)
        if (code !== STARTING || performance.now() > end) throw failed(message)
        await delay(POLL_MS, undefined, { signal })
      }
    }
  }

  /** Runs one of Postgres's programs as the server's owner. Resolves to its exit code and what it printed. */
  async run(name: string, args: readonly string[]): Promise<{ code: number | null; said: string }> {
    const { programs, owner, signal, home } = this.options
    const child = spawn(join(programs, name), args, {
      cwd: home,
      // S3 keys are for the restore_command that Postgres runs.
      env: inheritedEnvironment({ LC_ALL: 'C', PGHOST: this.socketDir, PGPORT: String(PORT) }),
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

const shellQuoted = (value: string): string => `'${value.replaceAll("'", `'\\''`)}'`

function failed(why: string): PostboxError {
  const hint = 'Settings that the data needs, such as shared_preload_libraries, can be given with --set name=value.'
  return new PostboxError('drill_failed', `the restored server did not come up: ${why}`, hint)
}
