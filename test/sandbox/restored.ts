import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { keyholderEnv, postbox, postboxOk, type CommandResult } from './command.js'
import { freePort } from './ports.js'
import { SandboxPostgres, scratchDir, type PostgresVersion } from './postgres.js'
import type { LocalS3 } from './s3/server.js'
import { until } from './until.js'

/** `postbox restore` from one bucket, and servers on what it leaves. Everything it started ends with remove(). */
export class Restores {
  readonly #servers: SandboxPostgres[] = []

  constructor(
    readonly s3: LocalS3,
    readonly bucket: string,
    readonly version: PostgresVersion = 18,
    readonly server = 'db1',
  ) {}

  get env(): Record<string, string> {
    return keyholderEnv(this.s3, this.bucket)
  }

  /** Runs the command into a new directory, whatever comes of it. */
  async attempt(args: readonly string[] = [], dataDir?: string): Promise<CommandResult & { dataDir: string }> {
    const directory = dataDir ?? (await scratchDir('restored'))
    const result = await postbox(['restore', '--server', this.server, '--data-dir', directory, ...args], this.env)
    return { ...result, dataDir: directory }
  }

  /** Restores into a new directory, which is returned. */
  async restore(args: readonly string[] = []): Promise<string> {
    const directory = await scratchDir('restored')
    await postboxOk(['restore', '--server', this.server, '--data-dir', directory, ...args], this.env)
    return directory
  }

  /** Starts a restored directory with plain pg_ctl and nothing but an S3 key in its environment. It stays if that fails. */
  async start(dataDir: string): Promise<SandboxPostgres> {
    const { s3, version } = this
    const env = { AWS_ACCESS_KEY_ID: s3.accessKey, AWS_SECRET_ACCESS_KEY: s3.secretKey }
    const settings = { fsync: 'off' }
    const socketDir = await scratchDir('socket')
    const server = new SandboxPostgres(version, dataDir, socketDir, await freePort(), settings, env)
    this.#servers.push(server)
    await server.start()
    return server
  }

  /** Restores, starts, and waits until recovery has ended. */
  async recover(args: readonly string[] = []): Promise<SandboxPostgres> {
    const server = await this.start(await this.restore(args))
    await promoted(server)
    return server
  }

  async remove(): Promise<void> {
    for (const server of this.#servers.splice(0)) await server.remove()
  }
}

/** Waits until recovery has ended and the server can be written to. */
export async function promoted(server: SandboxPostgres): Promise<void> {
  await until('recovery has ended', async () => {
    const [row] = await server.query<{ done: boolean }>('select not pg_is_in_recovery() as done')
    return row!.done
  })
}

/** Makes fetch-wal give up sooner than in life. */
export async function hurryFetchWal(dataDir: string, retryFor: string): Promise<void> {
  const file = join(dataDir, 'postgresql.auto.conf')
  const text = await readFile(file, 'utf8')
  await writeFile(file, text.replace(`''fetch-wal''`, `''fetch-wal'' ''--retry-for'' ''${retryFor}''`))
}
