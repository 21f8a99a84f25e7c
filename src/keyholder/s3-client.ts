import { readFileSync } from 'node:fs'
import { S3Client, type S3ClientConfig } from '@aws-sdk/client-s3'
import type { KeyholderConfig } from '../config.js'
import { PostboxError } from '../errors.js'

/**
 * The S3 client of everything on the keyholder's side. Keys come by the AWS SDK's usual chain; whoever opens it calls
 * destroy().
 *
 * `overrides`: settings of the SDK that win over ours.
 */
export function openS3(config: KeyholderConfig, overrides: S3ClientConfig = {}): S3Client {
  return new S3Client({
    region: config.region,
    forcePathStyle: config.pathStyle,
    // Newer checksum trailers are refused by several S3 services, and our objects carry their own SHA-256.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    ...(config.endpoint === null ? {} : { endpoint: config.endpoint }),
    requestHandler: {
      connectionTimeout: 10_000,
      // Without a byte for this long the other side is gone; the SDK then tries again.
      socketTimeout: 60_000,
      httpsAgent: { maxSockets: 50, ...(config.caFile === null ? {} : { ca: readCa(config.caFile) }) },
    },
    ...overrides,
  })
}

function readCa(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    throw new PostboxError(
      'config_invalid',
      `POSTBOX_CA_FILE cannot be used: ${file} cannot be read`,
      'Name a file of PEM certificates that this user may read.',
      { cause },
    )
  }
}
