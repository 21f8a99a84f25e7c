import { sql } from 'slonik'
import { z } from 'zod'
import type { CatalogPool } from './pool.js'

const ROWS_AT_MOST = 100

/** Recovery windows that end at the same WAL, as one: from the earliest moment of the oldest base backup in it. */
const Window = z.object({
  system_identifier: z.string(),
  /** whether it is of the cluster that runs now, and not of one before an upgrade */
  is_current: z.boolean(),
  /** and the server came by its timeline, which it has not left before the window begins */
  is_own: z.boolean(),
  timeline: z.number().int(),
  from_at: z.number(),
  /** the last commit that is recorded */
  to_at: z.number(),
  to_lsn: z.string(),
  base_backups: z.number().int(),
  /** whether nothing is known to be missing behind it */
  open: z.boolean(),
  /** whether no WAL is recorded behind it, nor of a later timeline */
  is_last: z.boolean(),
})
export type OverviewWindow = z.infer<typeof Window>

const Gap = z.object({
  is_current: z.boolean(),
  timeline: z.number().int(),
  from_lsn: z.string(),
  to_lsn: z.string(),
  bytes: z.number(),
  reason: z.string().nullable(),
  found_at: z.number().nullable(),
})
export type OverviewGap = z.infer<typeof Gap>

const Base = z.object({
  backup_id: z.string(),
  label: z.string().nullable(),
  system_identifier: z.string(),
  timeline: z.number().int(),
  started_at: z.number(),
  stopped_at: z.number(),
  raw_bytes: z.number(),
  stored_bytes: z.number(),
  /** whether a window begins with it */
  restorable: z.boolean(),
  /** whether this server as it is comes from it */
  is_own: z.boolean(),
})
export type OverviewBase = z.infer<typeof Base>

const Row = z.object({
  windows: z.array(Window),
  gaps: z.array(Gap),
  base_backups: z.array(Base),
  base_count: z.number().int(),
})
export type Recovery = z.infer<typeof Row>

/** What can be restored: the newest first. */
export function readRecovery(pool: CatalogPool): Promise<Recovery> {
  // The view is read once, however many backups there are.
  return pool.one(sql.type(Row)`
    with system as (
      select c.system_identifier from pg_control_system() c
    ), own_line as materialized (
      select l.* from backup._own_line() l
    ), window_of as materialized (
      select b.system_identifier, w.* from backup.recovery_windows w join backup.base_backups b using (backup_id)
    ), gap as materialized (
      select g.*, g.system_identifier = s.system_identifier as is_current from backup.wal_gaps g cross join system s
    ), span as (
      select w.system_identifier::text as system_identifier, w.system_identifier = s.system_identifier as is_current,
             exists (
               select from own_line l
               where l.system_identifier = w.system_identifier and l.timeline = w.timeline
                 and (l.to_lsn is null or min(w.from_lsn) <= l.to_lsn)
             ) as is_own,
             w.timeline, w.to_lsn,
             (extract(epoch from min(w.from_at)) * 1000)::float8 as from_at,
             (extract(epoch from greatest(max(w.to_at), max(w.from_at))) * 1000)::float8 as to_at,
             count(*) as base_backups,
             not exists (
               select from gap g
               where g.system_identifier = w.system_identifier and g.timeline >= w.timeline and g.to_lsn > w.to_lsn
             ) as open,
             not exists (
               select from backup.wal_coverage c
               where c.system_identifier = w.system_identifier and (c.timeline, c.to_lsn) > (w.timeline, w.to_lsn)
             ) as is_last
      from window_of w cross join system s
      group by w.system_identifier, s.system_identifier, w.timeline, w.to_lsn
      order by w.system_identifier desc, w.timeline desc, w.to_lsn desc
      limit ${ROWS_AT_MOST}
    ), shown_gap as (
      select g.is_current, g.timeline, g.from_lsn, g.to_lsn, g.bytes, g.reason,
             (extract(epoch from g.found_at) * 1000)::float8 as found_at
      from gap g order by g.is_current desc, g.timeline desc, g.from_lsn desc limit ${ROWS_AT_MOST}
    ), base as (
      select b.backup_id, b.label, b.system_identifier::text as system_identifier, b.timeline,
             (extract(epoch from b.started_at) * 1000)::float8 as started_at,
             (extract(epoch from b.stopped_at) * 1000)::float8 as stopped_at, b.raw_bytes, b.stored_bytes,
             exists (select from window_of w where w.backup_id = b.backup_id) as restorable,
             b.backup_id in (select o.backup_id from backup._own_bases() o) as is_own
      from backup.base_backups b order by b.stopped_at desc, b.backup_id desc limit ${ROWS_AT_MOST}
    )
    select (select coalesce(jsonb_agg(to_jsonb(w)), '[]') from span w) as windows,
           (select coalesce(jsonb_agg(to_jsonb(g)), '[]') from shown_gap g) as gaps,
           (select coalesce(jsonb_agg(to_jsonb(b)), '[]') from base b) as base_backups,
           (select count(*)::integer from backup.base_backups) as base_count
  `)
}
