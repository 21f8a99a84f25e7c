import type { S3Client } from '@aws-sdk/client-s3'
import { DrillResult } from '../../box/drill-result.js'
import { archiveError } from '../archive-error.js'
import type { Archive } from '../archive.js'
import { putJson } from '../put-json.js'

/**
 * Where results of drills are. Not in the server's own folder: a grant lets the server post there, and it must not say of
 * itself that its backups were proved.
 */
export const drillPrefix = (server: string): string => `.postbox/drill/${server}/`

/** Keeps a result with the archive; its key. Throws `archive_refused` when the S3 key may not. */
export async function storeDrill(s3: S3Client, bucket: string, result: DrillResult): Promise<string> {
  const key = `${drillPrefix(result.server)}${result.finished_at.replace(/[-:]|\.\d+/g, '')}-${result.backup_id}.json`
  const content = Buffer.from(JSON.stringify(result, null, 1) + '\n')
  try {
    await s3.send(putJson(bucket, key, content))
  } catch (thrown) {
    throw archiveError(thrown, bucket, `storing ${key}`)
  }
  return key
}

/** The newest result for a server; null when there is none. */
export async function lastDrill(archive: Archive, server: string): Promise<DrillResult | null> {
  let newest = null
  for await (const object of archive.list(drillPrefix(server))) newest = object
  if (newest === null) return null
  const parsed = DrillResult.safeParse(JSON.parse((await archive.read(newest)).toString()))
  return parsed.success ? parsed.data : null
}
