import type { Lsn } from '../wal/lsn.js'

const POSTGRES_EPOCH_MILLIS = Date.UTC(2000, 0, 1)

/**
 * Standby status update, sent on the WAL stream.
 *
 * `stored` is what lies in the box, not what was read: the server may drop WAL up to it, so reporting early loses data.
 *
 * https://www.postgresql.org/docs/current/protocol-replication.html
 */
export function standbyStatus(received: Lsn, stored: Lsn, now: Date): Buffer {
  const message = Buffer.alloc(34)
  message.write('r', 0, 'latin1')
  message.writeBigUInt64BE(received, 1)
  message.writeBigUInt64BE(stored, 9)
  // Applied: what is stored is all that will ever be done with it.
  message.writeBigUInt64BE(stored, 17)
  message.writeBigInt64BE(BigInt(now.getTime() - POSTGRES_EPOCH_MILLIS) * 1000n, 25)
  return message
}
