import { PostboxError } from '../errors.js'

const SERVER = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/

/** A server's name is the first folder of all its keys, so it is kept to what is safe in keys, URLs and shells. */
export function checkServerName(server: string): string {
  if (!SERVER.test(server)) {
    throw new PostboxError(
      'bad_argument',
      `"${server}" cannot be a server name`,
      'Use 1 to 63 letters, digits, dots, underscores and hyphens, beginning with a letter or digit.',
    )
  }
  return server
}
