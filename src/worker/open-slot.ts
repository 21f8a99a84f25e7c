import type { Logger } from 'pino'
import type { ReplicationConnection } from '../source/replication-connection.js'
import { dropSlot, ensureSlot } from '../source/replication-slot.js'
import { formatLsn, type Lsn } from '../wal/lsn.js'
import type { Source } from './source.js'

/** A slot that keeps WAL from now on. */
export interface OpenSlot {
  restartLsn: Lsn
  timeline: number
  /** why it had to be made, as the reason of a gap reads; null when it was there */
  madeBecause: string | null
}

/**
 * The slot, made anew when it is not there, keeps nothing, or was given up by the server, which is never said quietly.
 *
 * A lost slot never streams again, and waiting would only make what is missing larger.
 */
export async function openSlot(
  connection: ReplicationConnection,
  source: Source,
  slot: string,
  log: Logger,
): Promise<OpenSlot> {
  const cause = await source.ask((server) => server.slotLostBecause(slot))
  if (cause !== null) await dropSlot(connection, slot)
  const { made, restartLsn, timeline } = await ensureSlot(connection, slot)
  const from = formatLsn(restartLsn)
  if (cause !== null) {
    const madeBecause = lost(slot, cause)
    log.error({ slot, cause, from }, 'the slot was lost and is made anew')
    return { restartLsn, timeline, madeBecause }
  }
  if (made === 'unreserved') {
    log.warn({ slot, from }, 'the slot kept no WAL and is made anew')
    return { restartLsn, timeline, madeBecause: `the replication slot ${slot} kept no WAL` }
  }
  if (made === null) return { restartLsn, timeline, madeBecause: null }
  log.info({ slot, from }, 'made the slot')
  return { restartLsn, timeline, madeBecause: `the replication slot ${slot} was not there` }
}

/** `cause`: pg_replication_slots.invalidation_reason. */
function lost(slot: string, cause: string): string {
  if (cause === 'wal_removed') return `the replication slot ${slot} kept more than max_slot_wal_keep_size and was lost`
  if (cause === 'idle_timeout') return `nobody read the replication slot ${slot} for idle_replication_slot_timeout`
  return `the server gave the replication slot ${slot} up (${cause})`
}
