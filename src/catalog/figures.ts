import { sql } from 'slonik'
import { z } from 'zod'
import type { CatalogPool } from './pool.js'

const Seconds = z.number().nullable()

const CatalogFigures = z.object({
  bytes_at_risk: z.number().nullable(),
  seconds_at_risk: Seconds,
  grant_expires_at: Seconds,
  last_base_at: Seconds,
  last_base_took: Seconds,
  last_dump_at: Seconds,
  last_dump_took: Seconds,
  last_drill_at: Seconds,
  jobs: z.array(z.object({ kind: z.enum(['base', 'dump']), state: z.string(), jobs: z.number() })),
  running: z.array(
    z.object({
      kind: z.enum(['base', 'dump']),
      bytes_done: z.number(),
      bytes_total: z.number().nullable(),
      since: z.number(),
    }),
  ),
})
/** Moments in seconds since 1970; null: never, or not known. */
export type CatalogFigures = z.infer<typeof CatalogFigures>

/** What the catalog tells of backups in numbers. Reads only. */
export function readFigures(pool: CatalogPool): Promise<CatalogFigures> {
  return pool.one(sql.type(CatalogFigures)`
    select s.bytes_at_risk::float8, s.seconds_at_risk::float8,
           extract(epoch from s.grant_expires_at)::float8 as grant_expires_at,
           extract(epoch from s.last_base_at)::float8 as last_base_at, b.took as last_base_took,
           d.at as last_dump_at, d.took as last_dump_took, extract(epoch from s.last_drill_at)::float8 as last_drill_at,
           (select coalesce(jsonb_agg(to_jsonb(g)), '[]') from (
              select j.kind, j.state, count(*) as jobs from backup.jobs j group by j.kind, j.state) g) as jobs,
           (select coalesce(jsonb_agg(to_jsonb(r)), '[]') from (
              select j.kind, j.bytes_done, j.bytes_total, extract(epoch from j.started_at)::float8 as since
              from backup.jobs j where j.state = 'running') r) as running
    from backup.status s
    left join lateral (
      select extract(epoch from j.ended_at - j.started_at)::float8 as took
      from backup.jobs j where j.kind = 'base' and j.state = 'done' order by j.job_id desc limit 1) b on true
    left join lateral (
      select extract(epoch from j.ended_at)::float8 as at, extract(epoch from j.ended_at - j.started_at)::float8 as took
      from backup.jobs j where j.kind = 'dump' and j.state = 'done' order by j.job_id desc limit 1) d on true
  `)
}
