import type { Lsn } from '../wal/lsn.js'

const POSTGRES_EPOCH_MILLIS = Date.UTC(2000, 0, 1)

/**
 * Standby status update, sent on the WAL stream.
 *
 * `stored` is what lies in the box, not what was read; `recorded` what the catalog knows of it. The server may drop WAL
 * up to the latter, so reporting early loses data.
 *
 * https://www.postgresql.org/docs/current/protocol-replication.html
 */
export function standbyStatus(stored: Lsn, recorded: Lsn, now: Date): Buffer {
  const message = Buffer.alloc(34)
  message.write('r', 0, 'latin1')
  // Written, flushed: the slot keeps what is not flushed.
  message.writeBigUInt64BE(stored, 1)
  message.writeBigUInt64BE(recorded, 9)
  // Applied: what is stored is all that will ever be done with it.
  message.writeBigUInt64BE(stored, 17)
  message.writeBigInt64BE(BigInt(now.getTime() - POSTGRES_EPOCH_MILLIS) * 1000n, 25)
  return message
}
