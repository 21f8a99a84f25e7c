import { sql } from 'slonik'
import { z } from 'zod'
import type { Secret } from '../secret.js'
import { CatalogPool } from './pool.js'
import { NumberText } from './row-values.js'

const Moment = z
  .number()
  .nullable()
  .transform((ms) => (ms === null ? null : new Date(ms)))

/** A row of backup.jobs. */
const ListedJob = z.object({
  job_id: z.string(),
  kind: z.string(),
  /** queued, running, interrupted, done, failed or canceled */
  state: z.string(),
  label: z.string().nullable(),
  phase: z.string().nullable(),
  bytes_done: NumberText,
  /** an estimate; null while unknown */
  bytes_total: NumberText.nullable(),
  /** bytes per second of this attempt */
  rate: NumberText.nullable(),
  /** time left at that rate */
  eta_seconds: z.number().nullable(),
  attempts: z.number().int(),
  tables_done: z.number().int().nullable(),
  tables_total: z.number().int().nullable(),
  error_code: z.string().nullable(),
  error_message: z.string().nullable(),
  error_hint: z.string().nullable(),
  created_at: Moment,
  started_at: Moment,
  ended_at: Moment,
})

export type ListedJob = z.infer<typeof ListedJob>

/** Opens it; the caller closes. Any role that may read backup.jobs will do. */
export async function openJobList(databaseUrl: Secret): Promise<JobList> {
  return new JobList(await CatalogPool.open(databaseUrl))
}

/** What backup.jobs shows. Throws as the catalog does. */
export class JobList {
  readonly #pool: CatalogPool

  constructor(pool: CatalogPool) {
    this.#pool = pool
  }

  /** Every job that has not ended, and as many of the others as `ended` says, the oldest first. */
  async read(ended: number): Promise<readonly ListedJob[]> {
    return this.#pool.any(sql.type(ListedJob)`
      select j.job_id::text, j.kind, j.state, j.label, j.phase, coalesce(j.bytes_done, 0)::text as bytes_done,
             j.bytes_total::text, j.rate::text, extract(epoch from j.eta)::float8 as eta_seconds,
             j.attempts::integer, j.tables_done, j.tables_total, j.error_code, j.error_message, j.error_hint,
             (extract(epoch from j.created_at) * 1000)::float8 as created_at,
             (extract(epoch from j.started_at) * 1000)::float8 as started_at,
             (extract(epoch from j.ended_at) * 1000)::float8 as ended_at
      from backup.jobs j
      where j.ended_at is null or j.job_id in (
        select e.job_id from backup.jobs e where e.ended_at is not null order by e.job_id desc limit ${ended}
      )
      order by j.job_id
    `)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool.end()
  }
}
