import pg from 'pg'
import { sql } from 'slonik'
import { z } from 'zod'
import { Secret } from '../secret.js'
import { catalogError } from './catalog-error.js'
import { sessionConfig } from './driver.js'
import { endClient, hangUpOnAbort } from './end-client.js'
import { json, type CatalogPool } from './pool.js'
import { Nothing } from './row-values.js'

const CheckState = z.enum(['ok', 'warn', 'crit'])
export type CheckState = z.infer<typeof CheckState>

const Check = z.object({ name: z.string(), state: CheckState, message: z.string(), hint: z.string().nullable() })
export type Check = z.infer<typeof Check>

const NotedCheck = Check.extend({
  /** the state before; null when nothing was noted */
  was: CheckState.nullable(),
  /** whether anybody should hear of it */
  changed: z.boolean(),
  /** the server's clock */
  at: z.number().transform((ms) => new Date(ms)),
})
export type NotedCheck = z.infer<typeof NotedCheck>

/** What the worker sees and the server does not. */
export interface WorkerFacts {
  /** how far the clock of the box is ahead of the worker's */
  box_skew_seconds?: number
  database_skew_seconds?: number
  /** the file system that holds the WAL */
  disk?: { free_bytes: number; total_bytes: number; of_data_directory?: true }
}

export interface WebhookTarget {
  url: Secret
  secret: Secret | null
  /** the server's name in the box; null before the first grant */
  server: string | null
}

/** What the worker does for backup.checks. Throws as the catalog does. */
export class Checks {
  readonly #pool: CatalogPool

  constructor(pool: CatalogPool) {
    this.#pool = pool
  }

  /** Looks at every check; the database notifies of what has changed, and keeps it. */
  note(): Promise<readonly NotedCheck[]> {
    return this.#pool.any(sql.type(NotedCheck)`
      select c.name, c.state, c.message, c.hint, c.was, c.changed,
             (extract(epoch from clock_timestamp()) * 1000)::float8 as at
      from backup._note_checks() c
    `)
  }

  /** Writes a row each time: only what has changed. */
  async reportFacts(facts: WorkerFacts): Promise<void> {
    await this.#pool.one(sql.type(Nothing)`select backup._report_facts(${json(facts)}) as nothing`)
  }

  /** Where the server's WAL lies; null when the worker is on another machine. */
  async walDirectory(): Promise<string | null> {
    const Row = z.object({ directory: z.string().nullable() })
    return (await this.#pool.one(sql.type(Row)`select backup._wal_directory() as directory`)).directory
  }

  /** Where changes of checks are posted; null: nowhere. */
  async webhookTarget(): Promise<WebhookTarget | null> {
    const Row = z.object({ url: z.string(), secret: z.string().nullable(), server: z.string().nullable() })
    const row = await this.#pool.maybeOne(sql.type(Row)`select w.url, w.secret, w.server from backup._webhook() w`)
    if (!row) return null
    return { url: new Secret(row.url), secret: row.secret === null ? null : new Secret(row.secret), server: row.server }
  }
}

/** Numbers for a graph; null: not known. */
const Figures = z.object({
  bytes_at_risk: z.number().nullable(),
  seconds_at_risk: z.number().nullable(),
  base_age_seconds: z.number().nullable(),
  grant_seconds_left: z.number().nullable(),
  wal_max_at_risk: z.number(),
  wal_max_delay: z.number(),
  base_max_age: z.number(),
  grant_warn_before: z.number(),
})
export type Figures = z.infer<typeof Figures>

/** All checks and some figures, by a login that may read them. Throws as the catalog does; `signal` hangs up. */
export async function readChecks(
  databaseUrl: Secret,
  signal: AbortSignal,
): Promise<{ checks: Check[]; figures: Figures }> {
  const client = new pg.Client({ ...sessionConfig(databaseUrl, 'postbox check'), connectionTimeoutMillis: 0 })
  const forget = hangUpOnAbort(client, signal)
  // A lost connection is said by the query; without a listener it would end the process.
  client.on('error', () => undefined)
  try {
    await client.connect()
    const checks = await client.query('select c.name, c.state, c.message, c.hint from backup.checks c')
    const figures = await client.query(`
      select s.bytes_at_risk::float8, s.seconds_at_risk::float8,
             extract(epoch from clock_timestamp() - s.last_base_at)::float8 as base_age_seconds,
             extract(epoch from s.grant_expires_at - clock_timestamp())::float8 as grant_seconds_left,
             v.limits ->> 'wal_max_at_risk' as wal_max_at_risk,
             extract(epoch from (v.limits ->> 'wal_max_delay')::interval)::float8 as wal_max_delay,
             extract(epoch from (v.limits ->> 'base_max_age')::interval)::float8 as base_max_age,
             extract(epoch from (v.limits ->> 'grant_warn_before')::interval)::float8 as grant_warn_before
      from backup.status s cross join (select jsonb_object_agg(setting, value) as limits from backup.settings) v
    `)
    const [row] = figures.rows as Record<string, unknown>[]
    return {
      checks: z.array(Check).parse(checks.rows),
      figures: Figures.parse({ ...row, wal_max_at_risk: Number(row!['wal_max_at_risk']) }),
    }
  } catch (thrown) {
    throw catalogError(thrown)
  } finally {
    await endClient(client).catch(() => undefined)
    forget()
  }
}
