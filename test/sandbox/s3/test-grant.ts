import { S3Client } from '@aws-sdk/client-s3'
import { createPresignedPost } from '@aws-sdk/s3-presigned-post'
import type { Grant } from '../../../src/box/grant.js'
import type { LocalS3 } from './server.js'

/** The S3 server that a grant is for; the local one and Ceph both fit. */
export type GrantIssuer = Pick<LocalS3, 'endpoint' | 'region' | 'accessKey' | 'secretKey'>

export interface GrantChoices {
  server: string
  bucket: string
  maxPartBytes?: number
  expiresInSeconds?: number
  /** the signer's clock, minutes ahead of ours */
  clockMinutes?: number
}

/** A client of the AWS SDK for a sandbox S3. */
export function sdkClient({ endpoint, region, accessKey, secretKey }: GrantIssuer, clockMinutes = 0): S3Client {
  return new S3Client({
    endpoint,
    region,
    forcePathStyle: true,
    credentials: { accessKeyId: accessKey, secretAccessKey: secretKey },
    systemClockOffset: clockMinutes * 60_000,
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
  })
}

/** A grant as the keyholder signs it, made apart from its code so that each is a check on the other. */
export async function makeGrant(s3: GrantIssuer, choices: GrantChoices): Promise<Grant> {
  const { server, bucket, maxPartBytes = 64 * 1024 ** 2, expiresInSeconds = 3600, clockMinutes = 0 } = choices
  const client = sdkClient(s3, clockMinutes)
  const { url, fields } = await createPresignedPost(client, {
    Bucket: bucket,
    Key: `${server}/\${filename}`,
    Expires: expiresInSeconds,
    Fields: { success_action_status: '201', 'x-amz-checksum-algorithm': 'SHA256' },
    Conditions: [
      ['content-length-range', 1, maxPartBytes],
      ['starts-with', '$x-amz-checksum-sha256', ''],
      ['starts-with', '$content-type', ''],
    ],
  })
  client.destroy()
  const lower = Object.entries(fields).map(([name, value]) => [name.toLowerCase(), value] as const)
  const fixed = Object.fromEntries(lower.filter(([name]) => name !== 'key'))
  const policy = JSON.parse(Buffer.from(fixed['policy']!, 'base64').toString()) as { expiration: string }
  const issuedAt = new Date(Date.parse(policy.expiration) - expiresInSeconds * 1000)
  return {
    postbox_grant: 1,
    server,
    url,
    bucket,
    key_prefix: `${server}/`,
    max_part_bytes: maxPartBytes,
    issued_at: issuedAt.toISOString(),
    expires_at: new Date(policy.expiration).toISOString(),
    fields: fixed,
  }
}
