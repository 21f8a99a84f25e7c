import { sql } from 'slonik'
import { z } from 'zod'
import type { CatalogPool } from './pool.js'

/** What backup.configure() set, or its default. Intervals in seconds. */
export const Settings = z.object({
  /** null until the first grant names it */
  server: z.string().nullable(),
  slot: z.string(),
  stream_wal: z.enum(['on', 'off']),
  compression_level: z.coerce.number().int(),
  part_bytes: z.coerce.number().int(),
  upload_connections: z.coerce.number().int(),
  /** bytes per second; 0: no limit */
  upload_rate_limit: z.coerce.number().int(),
  /** least time between two tails */
  wal_interval: z.coerce.number(),
  /** bytes; 0: the slot keeps WAL without limit */
  wal_keep_limit: z.coerce.number().int(),
  base_after_gap: z.enum(['on', 'off']),
  /** 0: one for each core */
  dump_jobs: z.coerce.number().int(),
  dump_split_bytes: z.coerce.number().int(),
  dump_max_duration: z.coerce.number(),
  job_max_attempts: z.coerce.number().int(),
  base_max_age: z.coerce.number(),
  drill_max_age: z.coerce.number(),
  wal_max_delay: z.coerce.number(),
  grant_warn_before: z.coerce.number(),
})

export type Settings = z.infer<typeof Settings>

const SettingRow = z.object({ setting: z.string(), value: z.string().nullable() })

export async function readSettings(pool: CatalogPool): Promise<Settings> {
  const rows = await pool.any(sql.type(SettingRow)`
    select s.setting, case s.unit when 'interval' then extract(epoch from s.value::interval)::text else s.value end as value
    from backup.settings s
  `)
  return Settings.parse(Object.fromEntries(rows.map(({ setting, value }) => [setting, value])))
}
