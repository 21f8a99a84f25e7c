import { expect } from 'vitest'
import { BackedUpServer, type BackedUpOptions } from '../sandbox/backed-up-server.js'
import type { StartOptions } from '../sandbox/postgres.js'
import { until } from '../sandbox/until.js'
import { writeSegments } from './observe.js'

export interface Gap {
  from_lsn: string
  to_lsn: string
  reason: string | null
  found_at: Date | null
}

/** A backed-up server with small segments, and no more WAL on it than it must keep; and what is seen of its gaps. */
export class GapWatch {
  private constructor(readonly server: BackedUpServer) {}

  static async start(
    settings: Record<string, string> = {},
    version: NonNullable<StartOptions['version']> = 18,
    more: BackedUpOptions = {},
  ): Promise<GapWatch> {
    const server = await BackedUpServer.start({
      ...more,
      version,
      initdb: ['--wal-segsize=1'],
      settings: { min_wal_size: '2MB', max_wal_size: '4MB', wal_keep_size: '0', ...settings },
    })
    await server.worker.says('streaming WAL')
    return new GapWatch(server)
  }

  gaps(): Promise<Gap[]> {
    return this.server.postgres.query<Gap>('select from_lsn, to_lsn, reason, found_at from backup.wal_gaps')
  }

  firstGap(timeoutMs?: number): Promise<Gap> {
    return until('there is a gap', async () => (await this.gaps())[0], timeoutMs)
  }

  /** The only column of the only row. */
  async one<T>(text: string, params: unknown[] = []): Promise<T> {
    const [row] = await this.server.postgres.query<Record<string, T>>(text, params)
    return Object.values(row!)[0]!
  }

  /** Commits something and gives the time after it; one more commit puts that time inside what is stored. */
  async moment(): Promise<string> {
    const { postgres } = this.server
    await postgres.query('create table if not exists moment as select 1 as n')
    await postgres.query('insert into moment values (2)')
    const at = await this.one<string>('select clock_timestamp()::text')
    await postgres.query('insert into moment values (3)')
    return at
  }

  canRestoreTo(at: string): Promise<boolean> {
    return this.one<boolean>('select backup.can_restore_to($1)', [at])
  }

  countJobs(): Promise<number> {
    return this.one<number>('select count(*)::int from backup.jobs')
  }

  /** wal_status of the slot. */
  slotState(): Promise<string> {
    return this.one<string>(
      `select coalesce(max(wal_status), 'none') from pg_replication_slots where slot_name = 'postbox'`,
    )
  }

  /** Writes and checkpoints until the server gives the slot up. */
  async loseSlot(): Promise<void> {
    await until('the slot is lost', async () => {
      await writeSegments(this.server, 4)
      await this.server.postgres.query('checkpoint')
      return (await this.slotState()) === 'lost'
    })
  }

  /** Writes until the server has removed the WAL that follows what is stored, and that nothing keeps any more. */
  async loseWal(): Promise<void> {
    const file = await this.one<string>('select pg_walfile_name(max(to_lsn) + 1::numeric) from backup.wal_coverage')
    await until(`${file} is gone`, async () => {
      await writeSegments(this.server, 4)
      await this.server.postgres.query('checkpoint')
      return this.one<boolean>('select not exists (select from pg_ls_waldir() where name = $1)', [file])
    })
  }

  /** Waits for the base backup that is queued by itself, and for its end. */
  async baseAfterGap(): Promise<void> {
    const jobId = await until('a base backup is queued by itself', async () => {
      const [row] = await this.server.postgres.query<{ job_id: string }>(
        `select job_id from backup.jobs where label like 'after a gap in the WAL: %'`,
      )
      return row?.job_id
    })
    expect(await this.server.ended(BigInt(jobId))).toMatchObject({ state: 'done', attempts: 1 })
  }
}
