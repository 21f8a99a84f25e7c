import { PostboxError } from '../errors.js'

/** What a server or its driver says of a failure: ErrorResponse fields, as pg names them. */
interface ServerComplaint {
  code?: string
  message: string
  detail?: string | undefined
  hint?: string | undefined
}

const ADDRESS = 'POSTBOX_SOURCE_URL, or in POSTBOX_DATABASE_URL when that is not set'

/** Turns a failure on a replication connection into ours. `what` is what was being done, such as "BASE_BACKUP". */
export function replicationError(what: string, thrown: unknown): PostboxError {
  if (thrown instanceof PostboxError) return thrown
  const complaint = thrown as ServerComplaint
  const text = `${what} failed: ${complaint.message}${complaint.detail ? ` (${complaint.detail})` : ''}`
  const refuse = (code: ConstructorParameters<typeof PostboxError>[0], hint: string) =>
    new PostboxError(code, text, complaint.hint ?? hint, { cause: thrown })
  // A standby says so when it was promoted during a backup. Of slots and segments BASE_BACKUP says nothing.
  if (what === 'BASE_BACKUP' && complaint.code === '55000') {
    return refuse('replication_failed', 'This backup cannot be used; Postbox begins another one.')
  }
  switch (complaint.code) {
    case '28000':
      return /pg_hba/.test(complaint.message)
        ? refuse('database_refused', 'Add a line for replication connections of the worker to pg_hba.conf and reload.')
        : refuse('database_refused', `Check the user in ${ADDRESS}.`)
    case '28P01':
      return refuse('database_refused', `Check the password in ${ADDRESS}.`)
    case '3D000':
      return refuse('database_refused', `Check the database name in ${ADDRESS}.`)
    case '42501':
      return refuse('replication_right_missing', 'Run: ALTER ROLE <worker> REPLICATION.')
    case '53300':
      return refuse(
        'wal_senders_exhausted',
        'Raise max_wal_senders or end a replication connection that is not needed.',
      )
    case '53400':
      return refuse('wal_senders_exhausted', 'Raise max_replication_slots, or drop a slot that is not needed.')
    case '55006':
      return refuse('replication_failed', 'The slot is in use by another process; it is free again when that one ends.')
    case '55000':
    case '58P01':
    case '42704':
      return refuse('slot_invalid', 'WAL that was not stored yet is gone from the server: take a new base backup.')
    case 'XX001':
      return refuse(
        'data_damaged',
        'The server found damaged pages: see its log, and repair or restore the table named there.',
      )
    case '57P03':
      return refuse('database_unavailable', 'The server is starting up or shutting down; Postbox tries again.')
    default:
      return refuse('replication_failed', 'Postbox tries again; if it does not pass, see the log of the server.')
  }
}
