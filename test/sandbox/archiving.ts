import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { dirname, join } from 'node:path'
import type { BackedUpServer } from './backed-up-server.js'
import type { CommandResult } from './command.js'
import { cleanEnvironment, gatherOutput } from './postbox.js'
import { program } from './program.js'
import { plainEnv } from './run.js'
import { until } from './until.js'
import { sandboxUser } from './user.js'

/** Whether archive-wal can do without a start of Node. */
export const hasPerl = spawnSync('perl', ['-e', '1'], { env: plainEnv }).status === 0

/** Where our Node comes before any other. */
export async function nodePath(): Promise<string> {
  return `${dirname((await program()).node)}:${plainEnv.PATH}`
}

/** What pg_stat_archiver says. */
export interface Archiver {
  archived_count: string
  last_archived_wal: string | null
  failed_count: string
  last_failed_wal: string | null
}

/** A server whose archive_command is `postbox archive-wal %p`, with so much in its environment. */
export class ArchivingServer {
  constructor(readonly backedUp: BackedUpServer) {}

  async archiveBy(env: Record<string, string>): Promise<void> {
    const { command } = await program()
    const variables = Object.entries({ PATH: await nodePath(), ...env }).map(([name, value]) => `${name}='${value}'`)
    await this.#set('archive_command', [...variables, command, 'archive-wal', '%p'].join(' '))
  }

  /** Where the worker is, and nothing of the database. */
  byWorker(): Promise<void> {
    const { POSTBOX_SOCKET } = this.backedUp.databaseEnv()
    return this.archiveBy({ POSTBOX_SOCKET: POSTBOX_SOCKET! })
  }

  /** Where the database is, and nothing of a worker. */
  alone(): Promise<void> {
    return this.archiveBy(this.aloneEnv)
  }

  get aloneEnv(): Record<string, string> {
    const { POSTBOX_SOCKET, ...env } = this.backedUp.databaseEnv()
    return { ...env, POSTBOX_SOCKET: `${POSTBOX_SOCKET!}.none` }
  }

  async archiver(): Promise<Archiver> {
    const [row] = await this.backedUp.postgres.query<Archiver>('select * from pg_stat_archiver')
    return row!
  }

  /** Writes and finishes a segment; returns its name. */
  async writeSegment(): Promise<string> {
    const { postgres } = this.backedUp
    await postgres.query('select pg_current_xact_id()')
    const [row] = await postgres.query<{ name: string }>(
      'select pg_walfile_name(pg_switch_wal()) as name from pg_current_xact_id()',
    )
    return row!.name
  }

  /** Waits until Postgres has heard that this file, and so all before it, is archived. */
  async archived(name: string): Promise<void> {
    await until(`${name} is archived`, async () => {
      const { last_archived_wal } = await this.archiver()
      if (last_archived_wal !== null && last_archived_wal >= name) return true
      // After three failures Postgres pauses for a minute, unless it is woken.
      await this.backedUp.postgres.query('select pg_reload_conf()')
      return false
    })
  }

  /** Waits until one more call than `before` has failed. */
  async failedAfter(before: Archiver): Promise<Archiver> {
    return until('archiving fails', async () => {
      const now = await this.archiver()
      return Number(now.failed_count) > Number(before.failed_count) ? now : null
    })
  }

  /** Calls the command as Postgres does: as its user, in its data directory. */
  async call(path: string, env: Record<string, string>): Promise<CommandResult> {
    const { command } = await program()
    const child = spawn(command, ['archive-wal', path], {
      env: cleanEnvironment({ PATH: await nodePath(), ...env }),
      stdio: ['ignore', 'pipe', 'pipe'],
      cwd: this.backedUp.postgres.dataDir,
      ...sandboxUser(),
    })
    const output = gatherOutput(child)
    const [code] = (await once(child, 'close')) as [number | null]
    return { code, ...output }
  }

  walPath(name: string): string {
    return join(this.backedUp.postgres.dataDir, 'pg_wal', name)
  }

  /** How many versions each stored WAL file has, by its name. */
  versions(): Record<string, number> {
    const { bucket } = this.backedUp
    const keys = bucket.keys().filter((key) => key.includes('/wal/'))
    return Object.fromEntries(
      keys.map((key) => [
        key
          .split('/')
          .at(-1)!
          .replace(/(-[0-9a-f]{12})+(\.zst)?$/, ''),
        bucket.versions(key).length,
      ]),
    )
  }

  async #set(setting: string, value: string): Promise<void> {
    const { postgres } = this.backedUp
    await postgres.query(`alter system set ${setting} = '${value.replaceAll("'", "''")}'`)
    await postgres.query('select pg_reload_conf()')
  }
}
