import type { S3Client } from '@aws-sdk/client-s3'
import { PostboxError } from '../errors.js'
import { formatDuration } from '../units.js'

/** A grant that ends sooner is of no use to anybody. */
const shortestLifeSeconds = 60

/**
 * How long a policy signed now may last: what was asked for, or less when the S3 key itself ends earlier, since a grant
 * dies with the session that signed it. `warn` is told of it.
 *
 * Throws `credentials_missing` or `credentials_expired`.
 */
export async function lifeWithinCredentials(
  s3: S3Client,
  now: Date,
  wantedSeconds: number,
  warn: (message: string) => void,
): Promise<number> {
  const { expiration, sessionToken } = await resolveCredentials(s3)
  if (!expiration) {
    if (sessionToken) warn('the S3 key is a temporary one whose end is not known: the grant ends with it at the latest')
    return wantedSeconds
  }
  const leftSeconds = Math.floor((expiration.getTime() - now.getTime()) / 1000)
  if (leftSeconds < Math.min(shortestLifeSeconds, wantedSeconds)) {
    throw new PostboxError(
      'credentials_expired',
      `the S3 key ${leftSeconds <= 0 ? 'ended' : 'ends'} at ${expiration.toISOString()}`,
      'Renew the session or use a long-lived key that may only post; a grant cannot outlive the key that signed it.',
    )
  }
  if (leftSeconds >= wantedSeconds) return wantedSeconds
  warn(
    `the S3 key is a temporary one that ends at ${expiration.toISOString()}: ` +
      `the grant ends then and not after ${formatDuration(wantedSeconds)}`,
  )
  return leftSeconds
}

async function resolveCredentials(s3: S3Client): Promise<{ expiration?: Date; sessionToken?: string }> {
  try {
    return await s3.config.credentials()
  } catch (cause) {
    throw new PostboxError(
      'credentials_missing',
      'no S3 key was found',
      'Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or run where a role provides one.',
      { cause },
    )
  }
}
