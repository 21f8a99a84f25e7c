import type { Lsn } from '../wal/lsn.js'
import type { ServerTime } from './wal-age.js'

/** In place of an LSN: the server shows null, leaves the slot where it is and lets no COMMIT return. */
export const NOTHING: Lsn = 0n

/** What the worker tells the server of WAL. */
export interface Status {
  /** all WAL before it lies in the box */
  stored: Lsn
  /** WAL before it is not needed any more: never more than what is stored */
  flushed: Lsn
  /** since when the oldest WAL waits that is not stored; the server's time now when none does; or UNKNOWN */
  waitsSince: ServerTime
  /** whether the server is to answer at once */
  replyWanted: boolean
}

/**
 * Standby status update, sent on the WAL stream.
 *
 * Postgres shows it in pg_stat_replication: `stored` as write_lsn and replay_lsn, `flushed` as flush_lsn, and its time as
 * reply_time. It has no use for that time itself, so it carries what no LSN can say: backup.status takes reply_time for
 * the moment since which the WAL behind flush_lsn waits (sql/70-wal-position.sql). It must be by the server's clock.
 *
 * The server may drop WAL up to `flushed`, so reporting early loses data.
 *
 * https://www.postgresql.org/docs/current/protocol-replication.html
 */
export function standbyStatus({ stored, flushed, waitsSince, replyWanted }: Status): Buffer {
  const message = Buffer.alloc(34)
  message.write('r', 0, 'latin1')
  // Written, flushed: the slot keeps what is not flushed.
  message.writeBigUInt64BE(stored, 1)
  message.writeBigUInt64BE(flushed, 9)
  // Applied: what is stored is all that will ever be done with it.
  message.writeBigUInt64BE(stored, 17)
  message.writeBigInt64BE(waitsSince, 25)
  message.writeUInt8(replyWanted ? 1 : 0, 33)
  return message
}
