import pg from 'pg'
import { z } from 'zod'
import { PostboxError } from '../errors.js'
import type { Secret } from '../secret.js'
import { catalogError } from './catalog-error.js'
import { sessionConfig } from './driver.js'
import { endClient } from './end-client.js'
import { NumberText, SystemIdentifier } from './row-values.js'
import { schemaDifferences } from './schema-differences.js'

const Facts = z.object({
  version_num: NumberText,
  version: z.string(),
  database: z.string(),
  system_identifier: SystemIdentifier,
  in_recovery: z.boolean(),
  role_name: z.string(),
  is_superuser: z.boolean(),
  may_replicate: z.boolean(),
  /** null: there is no role backup_worker */
  is_worker: z.boolean().nullable(),
  may_read_all: z.boolean(),
  /** null: over a socket of this machine */
  encrypted: z.boolean().nullable(),
  wal_level: z.string(),
  max_wal_senders: NumberText,
  wal_senders: NumberText,
  max_replication_slots: NumberText,
  slots: NumberText,
  /** as Postgres prints it; -1: no limit */
  max_slot_wal_keep_size: z.string(),
  /** null where this role may not see it */
  data_directory: z.string().nullable(),
  clock_ms: z.number(),
})

export type Facts = z.infer<typeof Facts>

const Slot = z.object({
  active: z.boolean(),
  /** reserved, extended, unreserved or lost; null: it never kept any */
  wal_status: z.string().nullable(),
  kept_bytes: NumberText.nullable(),
})

export type Slot = z.infer<typeof Slot>

const Installed = z.object({
  server: z.string().nullable(),
  slot: z.string(),
  stream_wal: z.enum(['on', 'off']),
  grant_warn_seconds: z.number(),
  worker_runs: z.boolean(),
})

export type Installed = z.infer<typeof Installed>

/** What a failed look waits for is a lock that somebody left. */
const ANSWER_WITHIN_MS = 15_000

/** Connects for reading alone. The caller closes. Throws as the catalog does. */
export async function examineServer(url: Secret): Promise<ExaminedServer> {
  let client: pg.Client | null = null
  try {
    client = new pg.Client({ ...sessionConfig(url, 'postbox doctor'), query_timeout: ANSWER_WITHIN_MS })
    // What is lost is said by the next query; without a listener it would end the process.
    client.on('error', () => undefined)
    await client.connect()
    await client.query("set default_transaction_read_only = on; set statement_timeout = '10s'")
    return new ExaminedServer(client)
  } catch (thrown) {
    await client?.end().catch(() => undefined)
    throw catalogError(thrown)
  }
}

/** A server, looked at by a session that cannot change anything. */
export class ExaminedServer {
  readonly #client: pg.Client

  constructor(client: pg.Client) {
    this.#client = client
  }

  get address(): string {
    return `${this.#client.host}:${this.#client.port}`
  }

  /** Needs no schema. */
  async facts(): Promise<Facts> {
    return this.#one(
      Facts,
      `select current_setting('server_version_num') as version_num, current_setting('server_version') as version,
              current_database()::text as database, c.system_identifier::text, pg_is_in_recovery() as in_recovery,
              session_user::text as role_name, r.rolsuper as is_superuser,
              r.rolreplication or r.rolsuper as may_replicate,
              (select pg_has_role(session_user, w.oid, 'member') from pg_roles w where w.rolname = 'backup_worker') as is_worker,
              pg_has_role(session_user, 'pg_read_all_data', 'usage') as may_read_all,
              case when inet_server_addr() is not null then (
                select s.ssl from pg_stat_ssl s where s.pid = pg_backend_pid()
              ) end as encrypted,
              current_setting('wal_level') as wal_level, current_setting('max_wal_senders') as max_wal_senders,
              (select count(*)::text from pg_stat_replication) as wal_senders,
              current_setting('max_replication_slots') as max_replication_slots,
              (select count(*)::text from pg_replication_slots) as slots,
              current_setting('max_slot_wal_keep_size') as max_slot_wal_keep_size,
              (select s.setting from pg_settings s where s.name = 'data_directory') as data_directory,
              (extract(epoch from clock_timestamp()) * 1000)::float8 as clock_ms
       from pg_control_system() c, pg_roles r where r.rolname = session_user`,
    )
  }

  /** Null when there is none of that name. */
  async slot(name: string): Promise<Slot | null> {
    const rows = await this.#rows(
      Slot,
      `select s.active, s.wal_status, (e.end_lsn - s.restart_lsn)::bigint::text as kept_bytes
       from pg_replication_slots s cross join (
         select case when pg_is_in_recovery() then greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
                     else pg_current_wal_lsn() end as end_lsn
       ) e where s.slot_name = $1`,
      [name],
    )
    return rows[0] ?? null
  }

  /** Throws `catalog_missing`, and `catalog_refused` when this role may not use it. */
  async installed(): Promise<Installed> {
    return this.#one(
      Installed,
      `select max(s.value) filter (where s.setting = 'server') as server,
              max(s.value) filter (where s.setting = 'slot') as slot,
              max(s.value) filter (where s.setting = 'stream_wal') as stream_wal,
              extract(epoch from max(s.value) filter (where s.setting = 'grant_warn_before')::interval)::float8
                as grant_warn_seconds,
              backup._worker_alive() as worker_runs
       from backup.settings s`,
    )
  }

  /** The grant in use, unchecked; null when there is none. */
  async grant(): Promise<unknown> {
    return (await this.#one(z.object({ content: z.unknown() }), 'select backup._grant() as content')).content
  }

  /** What of the schema is not as this version of Postbox makes it, as words. */
  async schemaDifferences(): Promise<string[]> {
    try {
      return await schemaDifferences(this.#client)
    } catch (thrown) {
      throw catalogError(thrown)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await endClient(this.#client).catch(() => undefined)
  }

  async #one<T extends z.ZodType>(type: T, text: string): Promise<z.output<T>> {
    const [row] = await this.#rows(type, text)
    if (row === undefined) throw new PostboxError('internal', 'the server answered no row', 'Please report it.')
    return row
  }

  async #rows<T extends z.ZodType>(type: T, text: string, params: unknown[] = []): Promise<z.output<T>[]> {
    try {
      const { rows } = await this.#client.query<Record<string, unknown>>(text, params)
      return rows.map((row) => type.parse(row))
    } catch (thrown) {
      throw catalogError(thrown)
    }
  }
}
