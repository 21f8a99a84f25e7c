import { createHash } from 'node:crypto'
import { PutObjectCommand } from '@aws-sdk/client-s3'

/** A request that stores JSON. With a default retention S3 takes nothing without a checksum. */
export function putJson(bucket: string, key: string, content: Buffer): PutObjectCommand {
  const ContentMD5 = createHash('md5').update(content).digest('base64')
  return new PutObjectCommand({
    Bucket: bucket,
    Key: key,
    Body: content,
    ContentMD5,
    ContentType: 'application/json',
  })
}
