import { sql } from 'slonik'
import { z } from 'zod'
import type { CatalogPool } from './pool.js'

const DUMPS_AT_MOST = 100
const ROWS_AT_MOST = 20

const Moment = z.number().nullable()
const Text = z.string().nullable()

const Dump = z.object({
  dump_id: z.string(),
  label: Text,
  database_name: z.string(),
  snapshot_at: z.number(),
  finished_at: z.number(),
  whole: z.boolean(),
  masked: z.boolean(),
  tables: z.number(),
  raw_bytes: z.number(),
  stored_bytes: z.number(),
})
export type OverviewDump = z.infer<typeof Dump>

const Drill = z.object({
  backup_id: z.string(),
  finished_at: z.number(),
  ok: z.boolean(),
  problem: Text,
  /** whether it is of the cluster that runs now, and not of one before an upgrade */
  is_current: z.boolean(),
})
export type OverviewDrill = z.infer<typeof Drill>

const Job = z.object({
  job_id: z.number().int(),
  kind: z.enum(['base', 'dump']),
  state: z.string(),
  label: Text,
  phase: Text,
  bytes_done: z.number().nullable(),
  bytes_total: z.number().nullable(),
  rate: z.number().nullable(),
  eta_seconds: z.number().nullable(),
  schedule: Text,
  created_at: z.number(),
  started_at: Moment,
})
export type OverviewJob = z.infer<typeof Job>

const Schedule = z.object({
  name: z.string(),
  kind: z.enum(['base', 'dump']),
  cron: z.string(),
  time_zone: z.string(),
  next_run_at: Moment,
  last_run_at: Moment,
  last_state: Text,
  error_message: Text,
})
export type OverviewSchedule = z.infer<typeof Schedule>

const Check = z.object({
  name: z.string(),
  state: z.enum(['ok', 'warn', 'crit']),
  message: z.string(),
  hint: Text,
  since: Moment,
})
export type OverviewCheck = z.infer<typeof Check>

const Row = z.object({
  dumps: z.array(Dump),
  dump_count: z.number().int(),
  /** what the newest dump of a whole database shows, masked ones aside */
  whole_dump_at: Moment,
  drills: z.array(Drill),
  /** those that run or wait */
  jobs: z.array(Job),
  schedules: z.array(Schedule),
  checks: z.array(Check),
})
export type Upkeep = z.infer<typeof Row>

/** Dumps, drills, jobs, schedules and checks. */
export function readUpkeep(pool: CatalogPool): Promise<Upkeep> {
  return pool.one(sql.type(Row)`
    with dump as (
      select d.dump_id, d.label, d.database_name, (extract(epoch from d.snapshot_at) * 1000)::float8 as snapshot_at,
             (extract(epoch from d.finished_at) * 1000)::float8 as finished_at, d.whole, d.masked, d.tables,
             d.raw_bytes, d.stored_bytes
      from backup.dumps d order by d.finished_at desc, d.dump_id desc limit ${DUMPS_AT_MOST}
    ), drill as (
      select d.backup_id, (extract(epoch from d.finished_at) * 1000)::float8 as finished_at, d.ok, d.problem,
             d.system_identifier = c.system_identifier as is_current
      from backup.drills d cross join pg_control_system() c order by d.finished_at desc limit ${ROWS_AT_MOST}
    ), job as (
      select j.job_id, j.kind, j.state, j.label, j.phase, j.bytes_done, j.bytes_total, j.rate,
             extract(epoch from j.eta)::float8 as eta_seconds, j.schedule,
             (extract(epoch from j.created_at) * 1000)::float8 as created_at,
             (extract(epoch from j.started_at) * 1000)::float8 as started_at
      from backup.jobs j where j.state in ('queued', 'running', 'interrupted')
      order by j.state = 'queued', j.job_id limit ${ROWS_AT_MOST}
    ), schedule as (
      select s.name, s.kind, s.cron, s.time_zone, (extract(epoch from s.next_run_at) * 1000)::float8 as next_run_at,
             (extract(epoch from s.last_run_at) * 1000)::float8 as last_run_at, s.last_state, s.error_message
      from backup.schedules s order by s.next_run_at nulls last, s.name limit ${ROWS_AT_MOST}
    ), found as (
      select c.name, c.state, c.message, c.hint, (extract(epoch from c.since) * 1000)::float8 as since
      from backup.checks c
    )
    select (select coalesce(jsonb_agg(to_jsonb(d)), '[]') from dump d) as dumps,
           (select count(*)::integer from backup.dumps) as dump_count,
           (select (extract(epoch from max(d.snapshot_at)) * 1000)::float8
            from backup.dumps d where d.whole and not d.masked) as whole_dump_at,
           (select coalesce(jsonb_agg(to_jsonb(d)), '[]') from drill d) as drills,
           (select coalesce(jsonb_agg(to_jsonb(j)), '[]') from job j) as jobs,
           (select coalesce(jsonb_agg(to_jsonb(s)), '[]') from schedule s) as schedules,
           (select coalesce(jsonb_agg(to_jsonb(c)), '[]') from found c) as checks
  `)
}
