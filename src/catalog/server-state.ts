import { sql } from 'slonik'
import { z } from 'zod'
import type { Secret } from '../secret.js'
import { CatalogPool } from './pool.js'
import { Nothing, NumberText } from './row-values.js'

/** What a slot costs the server's disk. */
export interface SlotHold {
  /** WAL from the slot's position to the end */
  kept_bytes: number
  /** what of it the server could remove if there were no slot: it needs the rest itself, for a crash */
  freed_bytes: number
}

/** Name of the second slot, as backup._rows_slot() has it: a source need not have the schema in its database. */
const rowsSlot = (slot: string): string => `${slot.slice(0, 58)}_rows`

/** Opens it; the caller closes. */
export async function openServerState(url: Secret): Promise<ServerState> {
  return new ServerState(await CatalogPool.open(url))
}

/** What a server, primary or standby, knows of itself and no row of the catalog. Throws as the catalog does. */
export class ServerState {
  readonly #pool: CatalogPool

  constructor(pool: CatalogPool) {
    this.#pool = pool
  }

  /** Why the server gave the slot up, such as wal_removed; null for a slot that still keeps its WAL, and for none. */
  async slotLostBecause(slot: string): Promise<string | null> {
    const Row = z.object({ cause: z.string() })
    // Postgres 17 and later say the cause; before, a physical slot had one way to be lost.
    const row = await this.#pool.maybeOne(sql.type(Row)`
      select coalesce(to_jsonb(s) ->> 'invalidation_reason', 'wal_removed') as cause
      from pg_catalog.pg_replication_slots s where s.slot_name = ${slot} and s.wal_status = 'lost'
    `)
    return row?.cause ?? null
  }

  /** How much WAL the slot keeps. Null when there is no such slot or it keeps nothing. */
  slotHold(slot: string): Promise<SlotHold | null> {
    const Row = z.object({ kept_bytes: NumberText, freed_bytes: NumberText })
    // A standby that restores from an archive has received nothing.
    return this.#pool.maybeOne(sql.type(Row)`
      select (e.end_lsn - s.restart_lsn)::bigint as kept_bytes, (c.redo_lsn - s.restart_lsn)::bigint as freed_bytes
      from pg_catalog.pg_replication_slots s cross join pg_catalog.pg_control_checkpoint() c cross join (
        select case when pg_catalog.pg_is_in_recovery()
            then greatest(pg_catalog.pg_last_wal_receive_lsn(), pg_catalog.pg_last_wal_replay_lsn())
            else pg_catalog.pg_current_wal_lsn() end as end_lsn
      ) e
      where s.slot_name = ${slot} and s.restart_lsn is not null
    `)
  }

  /**
   * Makes a second slot that keeps all WAL which `slot` keeps now, unless it is there.
   *
   * A slot writes no WAL. Throws when there is no room for one (max_replication_slots) or no right.
   */
  async makeRowsSlot(slot: string): Promise<void> {
    await this.dropRowsSlot(slot, 'lost')
    await this.#pool.any(sql.type(z.object({ copied: z.string() }))`
      select pg_catalog.pg_copy_physical_replication_slot(${slot}, ${rowsSlot(slot)})::text as copied
      where not exists (select from pg_catalog.pg_replication_slots s where s.slot_name = ${rowsSlot(slot)})
    `)
  }

  /** Nothing happens when there is none. */
  async dropRowsSlot(slot: string, which: 'any' | 'lost' = 'any'): Promise<void> {
    await this.#pool.any(sql.type(Nothing)`
      select pg_catalog.pg_drop_replication_slot(s.slot_name) as nothing from pg_catalog.pg_replication_slots s
      where s.slot_name = ${rowsSlot(slot)} and (s.wal_status = 'lost' or ${which === 'any'})
    `)
  }

  /** Time of the last transaction that a standby has replayed; null when it has replayed none since its start. */
  async lastReplayedAt(): Promise<Date | null> {
    const Row = z.object({ ms: z.number().nullable() })
    const { ms } = await this.#pool.one(sql.type(Row)`
      select (extract(epoch from pg_catalog.pg_last_xact_replay_timestamp()) * 1000)::float8 as ms
    `)
    return ms === null ? null : new Date(Math.ceil(ms))
  }

  /**
   * Ends a process of the worker's own role. Nothing happens when it is gone, or its number another's.
   *
   * A walsender that waits for a checkpoint does not look at its socket.
   */
  async endProcess(pid: number, applicationName: string): Promise<void> {
    await this.#pool.any(sql.type(z.object({ ended: z.boolean() }))`
      select pg_terminate_backend(a.pid) as ended
      from pg_stat_activity a
      where a.pid = ${pid} and a.application_name = ${applicationName} and a.usename = session_user
    `)
  }

  /** Ends all processes of that name in this database which are of the worker's own role. */
  async endProcesses(applicationName: string): Promise<void> {
    await this.#pool.any(sql.type(z.object({ ended: z.boolean() }))`
      select pg_terminate_backend(a.pid) as ended
      from pg_stat_activity a
      where a.application_name = ${applicationName} and a.usename = session_user and a.datname = current_database()
    `)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool.end()
  }
}
