import { PostboxError, type ErrorCode } from '../errors.js'

const DAMAGE: readonly ErrorCode[] = ['object_damaged', 'object_missing', 'wal_invalid']

/** For catch(): what is damaged is as good as not there. An archive that does not answer is another matter. */
export function damageAsNull(thrown: unknown): null {
  if (thrown instanceof PostboxError && DAMAGE.includes(thrown.code)) return null
  throw thrown
}

/** An object of WAL whose bytes are not those that its key was named by. */
export function damagedWal(key: string): PostboxError {
  return new PostboxError(
    'object_damaged',
    `${key} holds other bytes than its name says`,
    'The object is damaged or was written by somebody else. Look at its other versions in the bucket.',
  )
}
