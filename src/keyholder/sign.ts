import type { S3Client } from '@aws-sdk/client-s3'
import type { Grant } from '../box/grant.js'
import { checkServerName } from '../box/server-name.js'
import { PostboxError } from '../errors.js'
import { formatDuration } from '../units.js'
import { lifeWithinCredentials } from './credentials.js'
import { signPolicy, type SignedPolicy } from './sign-policy.js'

/** Longer than this is unproved on AWS: nothing says how old a signature on a policy may grow. */
export const longLifeSeconds = 24 * 3600
/** AWS keeps its signing keys for seven days. */
export const longestLifeSeconds = 7 * 24 * 3600
/** Parts have 16 MiB unless configured otherwise; this leaves room without letting one request fill a disk. */
export const defaultMaxPartBytes = 64 * 1024 ** 2

export interface SignOptions {
  s3: S3Client
  bucket: string
  server: string
  expiresInSeconds: number
  maxPartBytes: number
  now?: Date
  /** sign for longer than seven days all the same */
  force?: boolean
  /** is told what is allowed but unwise */
  warn?: (message: string) => void
}

/**
 * Signs a grant: whoever holds it can post under `<server>/` until it ends, and do nothing else.
 *
 * Throws `bad_argument`, `credentials_missing` or `credentials_expired`. A grant signed with a temporary key ends with
 * the key; `warn` is told.
 */
export async function signGrant(options: SignOptions): Promise<Grant> {
  const { server, bucket, maxPartBytes } = options
  const keyPrefix = `${checkServerName(server)}/`
  const signed = await signFor(options, keyPrefix, maxPartBytes)
  return {
    postbox_grant: 1,
    server,
    url: signed.url,
    bucket,
    key_prefix: keyPrefix,
    max_part_bytes: maxPartBytes,
    issued_at: signed.issuedAt,
    expires_at: signed.expiresAt,
    fields: signed.fields,
  }
}

/** Signs for uploads by hand: under `<server>/upload/` only, where no backup lies. Throws as signGrant(). */
export async function signUpload(options: SignOptions): Promise<SignedPolicy & { keyPrefix: string }> {
  const keyPrefix = `${checkServerName(options.server)}/upload/`
  return { ...(await signFor(options, keyPrefix, options.maxPartBytes)), keyPrefix }
}

async function signFor(options: SignOptions, keyPrefix: string, maxBytes: number): Promise<SignedPolicy> {
  const { s3, bucket, expiresInSeconds, warn = () => undefined } = options
  // The client's offset is what it learned of S3's clock.
  const now = options.now ?? new Date(Date.now() + s3.config.systemClockOffset)
  checkLife(expiresInSeconds, options.force ?? false, warn)
  const lifeSeconds = await lifeWithinCredentials(s3, now, expiresInSeconds, warn)
  return signPolicy(s3, { bucket, keyPrefix, expiresInSeconds: lifeSeconds, maxBytes, now })
}

function checkLife(seconds: number, force: boolean, warn: (message: string) => void): void {
  if (seconds > longestLifeSeconds && !force) {
    throw new PostboxError(
      'bad_argument',
      `a grant of ${formatDuration(seconds)} is longer than the seven days that AWS keeps its signing keys`,
      'Ask for 7d or less, or say --force for a service that is known to take longer ones.',
    )
  }
  if (seconds > longLifeSeconds) {
    warn(`a grant of ${formatDuration(seconds)}: it is not proved that S3 takes a signature older than 24h`)
  }
}
