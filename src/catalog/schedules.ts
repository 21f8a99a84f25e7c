import { sql } from 'slonik'
import { z } from 'zod'
import type { PostboxError } from '../errors.js'
import { json, type CatalogPool } from './pool.js'
import { Nothing } from './row-values.js'

const Moment = z.number().transform((ms) => new Date(ms))

const PlannedSchedule = z.object({
  name: z.string(),
  cron: z.string(),
  time_zone: z.string(),
  /** null: not known yet */
  next_run_at: Moment.nullable(),
  /** the next run comes later */
  after_at: Moment,
  /** by the server's clock, which decides what is due */
  now_at: Moment,
})
export type PlannedSchedule = z.infer<typeof PlannedSchedule>

export type ScheduledRun = 'queued' | 'skipped' | 'refused'

/** What is started by time. Throws as the catalog does. */
export class Schedules {
  readonly #pool: CatalogPool

  constructor(pool: CatalogPool) {
    this.#pool = pool
  }

  planned(): Promise<readonly PlannedSchedule[]> {
    const ms = (column: string) =>
      sql.fragment`floor(extract(epoch from ${sql.identifier(['s', column])}) * 1000)::float8 as ${sql.identifier([column])}`
    return this.#pool.any(sql.type(PlannedSchedule)`
      select s.name, s.cron, s.time_zone, ${ms('next_run_at')}, ${ms('after_at')}, ${ms('now_at')}
      from backup._planned_schedules() s
    `)
  }

  /** Keeps when a schedule is due, or why that is not known. Nothing happens when it was changed meanwhile. */
  async plan({ name, cron, time_zone }: PlannedSchedule, next: Date | PostboxError): Promise<void> {
    const at = next instanceof Date ? next.toISOString() : null
    const problem = next instanceof Date ? null : json({ code: next.code, message: next.message, hint: next.hint })
    await this.#pool.one(sql.type(Nothing)`
      select backup._plan_schedule(
        ${name}, ${cron}, ${time_zone}, ${at}::timestamptz, ${problem ?? sql.fragment`null`}
      ) as nothing
    `)
  }

  /** Queues what is due; null when it is not due then, another session was first, or the schedule was changed. */
  async run(name: string, due: Date, following: Date): Promise<ScheduledRun | null> {
    const Row = z.object({ outcome: z.enum(['queued', 'skipped', 'refused']).nullable() })
    const { outcome } = await this.#pool.one(sql.type(Row)`
      select backup._run_schedule(${name}, ${due.toISOString()}::timestamptz, ${following.toISOString()}::timestamptz) as outcome
    `)
    return outcome
  }
}
