import type { S3Client } from '@aws-sdk/client-s3'
import { DrillResult } from '../../box/drill-result.js'
import { archiveError } from '../archive-error.js'
import type { Archive, StoredObject } from '../archive.js'
import { putJson } from '../put-json.js'

/**
 * Where results of drills are. Not in the server's own folder: a grant lets the server post there, and it must not say of
 * itself that its backups were proved.
 */
export const drillPrefix = (server: string): string => `.postbox/drill/${server}/`

/** Names sort by time, and tell the life, so that the newest of each is found without reading the others. */
export function drillKey({ server, finished_at, backup_id, system_identifier }: DrillResult): string {
  const time = finished_at.replace(/[-:]|\.\d+/g, '')
  return `${drillPrefix(server)}${time}-${backup_id}.${system_identifier}.json`
}

/** Keeps a result with the archive; its key. Throws `archive_refused` when the S3 key may not. */
export async function storeDrill(s3: S3Client, bucket: string, result: DrillResult): Promise<string> {
  const key = drillKey(result)
  const content = Buffer.from(JSON.stringify(result, null, 1) + '\n')
  try {
    await s3.send(putJson(bucket, key, content))
  } catch (thrown) {
    throw archiveError(thrown, bucket, `storing ${key}`)
  }
  return key
}

/**
 * The newest result of each life of a server; first that of the life whose drilled backup is the newest: it is the current
 * one as far as drills tell, whenever another was drilled. One request for each life, and those that list.
 */
export async function lastDrills(archive: Archive, server: string): Promise<DrillResult[]> {
  const newest = new Map<string | null, StoredObject>()
  for await (const object of archive.list(drillPrefix(server))) newest.set(parseDrillKey(object.key).system, object)
  const drills = new Map<string, DrillResult>()
  for (const object of newest.values()) {
    const drill = await readDrill(archive, object, server)
    const known = drill && drills.get(drill.system_identifier)
    if (drill && (!known || drill.finished_at > known.finished_at)) drills.set(drill.system_identifier, drill)
  }
  return [...drills.values()].sort((a, b) => (a.backup_id > b.backup_id ? -1 : 1))
}

/** Of these ids of backups, those that a drill found good, each with its life. */
export async function provedBackups(
  archive: Archive,
  server: string,
  ids: ReadonlySet<string>,
): Promise<{ systemIdentifier: string; id: string }[]> {
  const proved: { systemIdentifier: string; id: string }[] = []
  for await (const object of archive.list(drillPrefix(server))) {
    if (!ids.has(parseDrillKey(object.key).backupId)) continue
    const drill = await readDrill(archive, object, server)
    if (drill?.ok) proved.push({ systemIdentifier: drill.system_identifier, id: drill.backup_id })
  }
  return proved
}

/** `system`: null of results from before names told it. */
function parseDrillKey(key: string): { backupId: string; system: string | null } {
  const [, backupId = '', system = null] = /\/[^/-]+-([^/.]+)(?:\.(\d+))?\.json$/.exec(key) ?? []
  return { backupId, system }
}

/** What cannot be read proves nothing. */
async function readDrill(archive: Archive, object: StoredObject, server: string): Promise<DrillResult | null> {
  const content = await archive.read(object)
  try {
    const drill = DrillResult.parse(JSON.parse(content.toString('utf8')))
    return drill.server === server ? drill : null
  } catch {
    return null
  }
}
