import { sql } from 'slonik'
import { z } from 'zod'
import type { CatalogPool } from './pool.js'
import { Nothing, NumberText } from './row-values.js'

/** What a slot costs the server's disk. */
export interface SlotHold {
  /** WAL from the slot's position to the end */
  kept_bytes: number
  /** what of it the server could remove if there were no slot: it needs the rest itself, for a crash */
  freed_bytes: number
}

/** Why the server gave the slot up, such as wal_removed; null for a slot that still keeps its WAL, and for none. */
export async function slotLostBecause(pool: CatalogPool, slot: string): Promise<string | null> {
  const Row = z.object({ cause: z.string() })
  // Postgres 17 and later say the cause; before, a physical slot had one way to be lost.
  const row = await pool.maybeOne(sql.type(Row)`
    select coalesce(to_jsonb(s) ->> 'invalidation_reason', 'wal_removed') as cause
    from pg_catalog.pg_replication_slots s where s.slot_name = ${slot} and s.wal_status = 'lost'
  `)
  return row?.cause ?? null
}

/** Null when there is no such slot or it keeps nothing. */
export function slotHold(pool: CatalogPool, slot: string): Promise<SlotHold | null> {
  const Row = z.object({ kept_bytes: NumberText, freed_bytes: NumberText })
  return pool.maybeOne(sql.type(Row)`
    select (pg_catalog.pg_current_wal_lsn() - s.restart_lsn)::bigint as kept_bytes,
           (c.redo_lsn - s.restart_lsn)::bigint as freed_bytes
    from pg_catalog.pg_replication_slots s cross join pg_catalog.pg_control_checkpoint() c
    where s.slot_name = ${slot} and s.restart_lsn is not null
  `)
}

/**
 * Makes a second slot that keeps all WAL which `slot` keeps now, unless it is there.
 *
 * A slot writes no WAL. Throws when there is no room for one (max_replication_slots) or no right.
 */
export async function makeRowsSlot(pool: CatalogPool, slot: string): Promise<void> {
  await dropRowsSlot(pool, slot, 'lost')
  await pool.any(sql.type(z.object({ copied: z.string() }))`
    select pg_catalog.pg_copy_physical_replication_slot(${slot}, backup._rows_slot(${slot}))::text as copied
    where not exists (
      select from pg_catalog.pg_replication_slots s where s.slot_name = backup._rows_slot(${slot}))
  `)
}

/** Nothing happens when there is none. */
export async function dropRowsSlot(pool: CatalogPool, slot: string, which: 'any' | 'lost' = 'any'): Promise<void> {
  await pool.any(sql.type(Nothing)`
    select pg_catalog.pg_drop_replication_slot(s.slot_name) as nothing from pg_catalog.pg_replication_slots s
    where s.slot_name = backup._rows_slot(${slot}) and (s.wal_status = 'lost' or ${which === 'any'})
  `)
}
