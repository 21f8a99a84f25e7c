import { asPostboxError, type PostboxError } from '../errors.js'
import type { Secret } from '../secret.js'
import { formatLsn, type Lsn } from '../wal/lsn.js'
import { ANSWERED_WITHIN_MS, ReplicationConnection, type Copy } from './replication-connection.js'

const XLOG_DATA = 0x77
/** One byte tells the kind of message. */
const KIND_BYTES = 1

/**
 * Whether the server still has the WAL at `start`, which no slot needs to keep.
 *
 * Only the server itself knows: it is asked to stream, and hung up on as soon as it sends or refuses.
 */
export async function hasWal(databaseUrl: Secret, timeline: number, start: Lsn, signal: AbortSignal): Promise<boolean> {
  // A name of its own: a COMMIT may be waiting for the stream that is called "postbox".
  const connection = await ReplicationConnection.open(databaseUrl, 'postbox probe', signal)
  try {
    const sent = Promise.withResolvers<boolean>()
    const command = `START_REPLICATION PHYSICAL ${formatLsn(start)} TIMELINE ${timeline}`
    connection.run(command, copyUntil(sent.resolve), ANSWERED_WITHIN_MS).then(
      () => {
        sent.resolve(true)
      },
      (error: PostboxError) => {
        sent.reject(error)
      },
    )
    return await sent.promise
  } catch (thrown) {
    const error = asPostboxError(thrown)
    if (error.code === 'slot_invalid') return false
    throw error
  } finally {
    connection.close()
  }
}

/** A message without WAL says nothing yet: the server keeps the connection alive while it looks. */
function copyUntil(onSent: (sent: true) => void): Copy {
  return {
    begin: () => undefined,
    headerBytes: (_kind, payloadBytes) => Math.min(payloadBytes, KIND_BYTES),
    header: (header) => {
      if (header[0] === XLOG_DATA) onSent(true)
    },
    body: () => undefined,
    readEnd: () => undefined,
  }
}
