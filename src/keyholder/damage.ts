import { asPostboxError, PostboxError, type ErrorCode } from '../errors.js'

const DAMAGE: readonly ErrorCode[] = ['object_damaged', 'object_missing', 'wal_invalid']

/** For catch(): what is damaged is as good as not there. An archive that does not answer is another matter. */
export function damageAsNull(thrown: unknown): null {
  if (thrown instanceof PostboxError && DAMAGE.includes(thrown.code)) return null
  throw thrown
}

const ENDS_ALL: readonly ErrorCode[] = ['archive_refused', 'credentials_missing', 'interrupted']

/**
 * What went wrong with one server of many, for a line of the report: what is stored of one must not hide the others. Throws
 * again what would be the same for all of them.
 */
export function ofOneServer(thrown: unknown): PostboxError {
  const error = asPostboxError(thrown)
  if (error.retryable || ENDS_ALL.includes(error.code)) throw thrown
  return error
}

/** An object of WAL whose bytes are not those that its key was named by. */
export function damagedWal(key: string): PostboxError {
  return new PostboxError(
    'object_damaged',
    `${key} holds other bytes than its name says`,
    'The object is damaged or was written by somebody else. Look at its other versions in the bucket.',
  )
}
