import type { S3Client } from '@aws-sdk/client-s3'
import { keyholderConfig, type KeyholderConfig } from '../config.js'
import { openArchive, type Archive } from '../keyholder/archive.js'
import { openS3 } from '../keyholder/s3-client.js'
import { interruptSignal } from './interrupt.js'

/** Runs a command's work on the archive that the POSTBOX_* variables name, and closes it. */
export async function withArchive<T>(
  work: (archive: Archive, config: KeyholderConfig, s3: S3Client) => Promise<T>,
): Promise<T> {
  const config = keyholderConfig()
  const s3 = openS3(config)
  try {
    return await work(openArchive(s3, config.bucket, { signal: interruptSignal() }), config, s3)
  } finally {
    s3.destroy()
  }
}
