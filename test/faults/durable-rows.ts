import type { BackedUpServer } from '../sandbox/backed-up-server.js'
import type { Acknowledged } from '../sandbox/workload.js'

/** Commits that were reported as durable: their end lies before what the server has been told is flushed. */
export async function durableRows(
  { postgres }: BackedUpServer,
  acknowledged: readonly Acknowledged[],
): Promise<Acknowledged[]> {
  const known = [...acknowledged]
  const [row] = await postgres.query<{ flushed: string | null }>(
    `select coalesce((select max(flush_lsn) from pg_stat_replication where application_name = 'postbox'),
                     (select restart_lsn from pg_replication_slots where slot_name = 'postbox'))::text flushed`,
  )
  const kept = await postgres.query<{ lsn: string }>(
    'select lsn::text from unnest($1::pg_lsn[]) lsn where lsn <= $2::pg_lsn',
    [known.map(({ lsn }) => lsn), row!.flushed],
  )
  const lsns = new Set(kept.map(({ lsn }) => lsn))
  return known.filter(({ lsn }) => lsns.has(lsn))
}
