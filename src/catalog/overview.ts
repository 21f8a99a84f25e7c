import { sql } from 'slonik'
import { z } from 'zod'
import type { CatalogPool } from './pool.js'
import { readRecovery, type Recovery } from './overview-recovery.js'
import { readUpkeep, type Upkeep } from './overview-upkeep.js'

const Moment = z.number().nullable()

const Now = z.object({
  /** the server's clock */
  now_at: z.number(),
  server: z.string().nullable(),
  database: z.string(),
  postgres_version: z.string(),
  worker_version: z.string().nullable(),
  worker_started_at: Moment,
  durable_lsn: z.string().nullable(),
  bytes_at_risk: z.number().nullable(),
  seconds_at_risk: z.number().nullable(),
  grant_expires_at: Moment,
  last_drill_at: Moment,
  /** WAL is not stored, by the setting stream_wal */
  dumps_alone: z.boolean(),
})
type Now = z.infer<typeof Now>

/**
 * All that the page shows of a catalog. Moments in milliseconds since 1970; null: never, or not known. Lists are cut, and
 * say how many there are.
 */
export type Overview = Now & Recovery & Upkeep

const Stored = z.object({ at: z.number(), bytes: z.number(), segments: z.number() })

/** A segment is 16 MiB, if not said otherwise: 160 GB in a day. */
const SEGMENTS_AT_MOST = 10_000

/** What the worker's page shows: read only, by one session, one statement after another. Throws as the catalog does. */
export class Overviews {
  readonly #pool: CatalogPool

  constructor(pool: CatalogPool) {
    this.#pool = pool
  }

  async read(): Promise<Overview> {
    const now = await this.#pool.one(sql.type(Now)`
      select (extract(epoch from clock_timestamp()) * 1000)::float8 as now_at, s.server,
           current_database()::text as database,
           split_part(current_setting('server_version'), ' ', 1) as postgres_version,
           s.worker_version, (extract(epoch from s.worker_started_at) * 1000)::float8 as worker_started_at,
           s.durable_lsn::text, s.bytes_at_risk::float8, s.seconds_at_risk::float8,
           (extract(epoch from s.grant_expires_at) * 1000)::float8 as grant_expires_at,
           (extract(epoch from s.last_drill_at) * 1000)::float8 as last_drill_at,
           (select t.value from backup.settings t where t.setting = 'stream_wal') = 'off' as dumps_alone
    from backup.status s
  `)
    return { ...now, ...(await readRecovery(this.#pool)), ...(await readUpkeep(this.#pool)) }
  }

  /**
   * WAL by the minute in which it was stored, from `from` on, which is later than `since` when there was too much to read it
   * all.
   */
  async storedWal(since: number): Promise<{ from: number; rows: { at: number; bytes: number }[] }> {
    const rows = await this.#pool.any(sql.type(Stored)`
    select (extract(epoch from w.minute_at) * 1000)::float8 as at, w.bytes::float8, w.segments
    from backup._stored_wal(to_timestamp(${since / 1000}::float8), ${SEGMENTS_AT_MOST}) w
  `)
    const isCut = rows.reduce((sum, { segments }) => sum + segments, 0) >= SEGMENTS_AT_MOST
    // Of the oldest minute some may be missing.
    const known = isCut ? rows.slice(1) : rows
    return { from: isCut ? (known[0]?.at ?? Date.now()) : since, rows: known.map(({ at, bytes }) => ({ at, bytes })) }
  }
}
