import { PostboxError } from '../errors.js'
import { parseLsn, type Lsn } from '../wal/lsn.js'
import type { ReplicationConnection } from './replication-connection.js'
import { only } from './server-identity.js'
import { textOf } from './server-message.js'

/** Where a physical slot keeps WAL from. */
export interface SlotPosition {
  restartLsn: Lsn
  timeline: number
  /** what was found before it was made just now, so that nothing older was kept; null when it was there */
  made: 'absent' | 'unreserved' | null
}

/**
 * The slot's position; makes the slot, with its WAL reserved from now on, when it is not there.
 *
 * A slot without reserved WAL keeps nothing before its first reader: such a one is made anew. Most slots that lost their
 * WAL look the same in this protocol; the catalog knows the difference (pg_replication_slots.wal_status).
 */
export async function ensureSlot(connection: ReplicationConnection, slot: string): Promise<SlotPosition> {
  const found = await readSlot(connection, slot)
  if (found === 'unreserved') await dropSlot(connection, slot)
  else if (found) return { ...found, made: null }
  await connection.run(`CREATE_REPLICATION_SLOT ${quoteName(slot)} PHYSICAL RESERVE_WAL`)
  const made = await readSlot(connection, slot)
  if (made === null || made === 'unreserved') {
    throw new PostboxError('slot_invalid', `the slot ${slot} was made but keeps no WAL`, 'See the log of the server.')
  }
  return { ...made, made: found ?? 'absent' }
}

export async function dropSlot(connection: ReplicationConnection, slot: string): Promise<void> {
  await connection.run(`DROP_REPLICATION_SLOT ${quoteName(slot)}`)
}

async function readSlot(
  connection: ReplicationConnection,
  slot: string,
): Promise<{ restartLsn: Lsn; timeline: number } | 'unreserved' | null> {
  // All columns are null when there is no such slot.
  const row = only(await connection.run(`READ_REPLICATION_SLOT ${quoteName(slot)}`), 'READ_REPLICATION_SLOT')
  if (textOf(row, 'slot_type') === null) return null
  const restartLsn = textOf(row, 'restart_lsn')
  if (restartLsn === null) return 'unreserved'
  return { restartLsn: parseLsn(restartLsn), timeline: Number(textOf(row, 'restart_tli')) }
}

function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}
