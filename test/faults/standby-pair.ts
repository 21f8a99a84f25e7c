import { BackedUpServer, type BackedUpOptions } from '../sandbox/backed-up-server.js'
import { WorkerProcess } from '../sandbox/command.js'
import type { SandboxPostgres } from '../sandbox/postgres.js'
import { promote, startStandby } from '../sandbox/standby.js'

/** A backed-up primary with small segments, a standby of it, and a worker that reads from the one it is told to. */
export class StandbyPair {
  readonly primary: SandboxPostgres

  private constructor(
    readonly server: BackedUpServer,
    readonly standby: SandboxPostgres,
  ) {
    this.primary = server.postgres
  }

  /** The worker does not run yet. */
  static async start(options: BackedUpOptions = {}): Promise<StandbyPair> {
    // A checkpoint must not take what a standby has not read yet. The standbys themselves keep nothing.
    const settings = { wal_keep_size: '64MB', ...options.settings }
    const server = await BackedUpServer.start({ initdb: ['--wal-segsize=1'], ...options, settings })
    await server.worker.stop()
    // Left by the worker's first seconds; in life nobody would have made it.
    await server.postgres.query('select pg_drop_replication_slot(slot_name) from pg_replication_slots')
    return new StandbyPair(server, await startStandby(server.postgres))
  }

  /** Addresses as the worker logs in, with commas between. */
  urls(...servers: SandboxPostgres[]): string {
    return servers.map((one) => one.url({ user: 'postbox_worker' })).join(',')
  }

  /** Starts a worker that reads WAL from the standby, and waits until it streams. */
  async workFromStandby(env: Record<string, string> = {}): Promise<void> {
    this.server.source = this.standby
    const { server, standby } = this
    server.startWorker({ POSTBOX_SOURCE_URL: this.urls(standby), ...env })
    await server.worker.says('streaming WAL')
  }

  /** Starts a worker from which nothing is expected but what it says, as it ends, or waits. */
  worker(env: Record<string, string>): WorkerProcess {
    return new WorkerProcess({ ...this.server.databaseEnv(), ...env })
  }

  /** The primary is lost and the standby takes its place. */
  async failOver(): Promise<void> {
    await this.primary.kill9()
    await promote(this.standby)
    this.server.postgres = this.standby
    this.server.source = this.standby
  }

  async remove(): Promise<void> {
    await this.server.worker.kill9()
    // Of the two, `server` removes the one that it calls its own.
    await (this.server.postgres === this.primary ? this.standby : this.primary).remove()
    await this.server.remove()
  }
}
