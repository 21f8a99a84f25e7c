import { PostboxError } from '../errors.js'
import type { Part } from './box.js'
import type { Grant } from './grant.js'

/** A clock may be this wrong before S3 itself calls it skewed (15 min), and some more. */
const CLOCK_DOUBT_MS = 20 * 60_000

/**
 * Refuses here what the box would refuse after megabytes had gone there.
 *
 * Whether the grant has ended is the box's clock to say, so it is tried until it is over by more than a clock is
 * likely to be wrong. Throws `part_too_large`, `box_refused` or `grant_expired`.
 */
export function checkPart(part: Part, grant: Grant, now: Date): void {
  if (part.bytes > grant.max_part_bytes) {
    throw new PostboxError(
      'part_too_large',
      `${part.key} has ${part.bytes} bytes, and the grant allows ${grant.max_part_bytes}`,
      part.urgent
        ? 'Sign grants with a larger --max-part-bytes: a WAL segment is stored whole.'
        : 'Sign grants with a larger --max-part-bytes, or make part_bytes smaller.',
    )
  }
  if (part.bytes === 0) throw refused(part.key, 'it is empty')
  if (!part.key.startsWith(grant.key_prefix)) throw refused(part.key, `the grant is for ${grant.key_prefix} only`)
  // A control character would break the form, and S3 puts the file's name in place of ${filename}.
  // eslint-disable-next-line no-control-regex
  if (/[\x00-\x1f\x7f"]|\$\{filename\}/.test(part.key))
    throw refused(JSON.stringify(part.key), 'such a name cannot be posted')
  if (Date.parse(grant.expires_at) + CLOCK_DOUBT_MS < now.getTime()) {
    throw new PostboxError(
      'grant_expired',
      `the grant for ${grant.server} ended at ${grant.expires_at}`,
      'Postbox asks the issuer for a newer grant; without an issuer run "postbox grant" and install what it prints.',
    )
  }
}

function refused(key: string, why: string): PostboxError {
  return new PostboxError('box_refused', `${key} was not posted: ${why}`, 'Install a grant for this server.')
}
