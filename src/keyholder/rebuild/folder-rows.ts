import { partsOfDump, type DumpManifest } from '../../box/dump-manifest.js'
import { isBackupId, type Home } from '../../box/key-names.js'
import type { Manifest, PartEntry } from '../../box/manifest.js'
import type { RebuiltItem } from '../../catalog/rebuild-script.js'
import type { Archive } from '../archive.js'
import { dumpIds } from '../dumps/stored-dumps.js'
import { inOrder } from '../in-order.js'
import { missingOf, readFolder, type FolderContents, type Found } from '../prune/stored-folder.js'
import { backupIds } from '../stored-backups.js'
import { canBeRow } from './can-be-row.js'

const READ_AT_ONCE = 8

/**
 * Rows of base backups and dumps whose manifest can be believed and whose parts are all there, and of their objects. Of
 * the rest, and of what looks suspicious, `note` is told.
 *
 * `onBase` gets each base backup that has a row.
 */
export async function* folderRows(
  archive: Archive,
  home: Home,
  note: (text: string) => void,
  onBase: (manifest: Manifest, storedAt: Date) => void,
): AsyncGenerator<RebuiltItem> {
  const ids = [
    ...(await backupIds(archive, home)).map((id) => ({ kind: 'base' as const, id })),
    ...(await dumpIds(archive, home)).map((id) => ({ kind: 'dump' as const, id })),
  ]
  const read = ({ kind, id }: (typeof ids)[0]) => readFolder(archive, home, kind, id)
  for await (const contents of inOrder(ids, { atOnce: READ_AT_ONCE }, read)) {
    if (!contents) continue
    const { folder, read: manifest } = contents
    const what = `${folder.kind === 'base' ? 'base backup' : 'dump'} ${folder.id}`
    const missing = manifest && missingOf(manifest.entries, contents.objects)
    for (const problem of folder.problems) if (problem !== missing) note(`suspicious: ${what}: ${problem}`)
    if (!manifest) {
      if (folder.state === 'incomplete') note(`${what} is left out: it has no manifest, running or never finished`)
      else note(`${what} is left out`)
      continue
    }
    if (missing !== null) {
      note(`${what} is left out: ${missing}`)
      continue
    }
    const rows = rowsOf(contents, manifest)
    if (!rows.every(({ item }) => canBeRow(item))) {
      note(`suspicious: ${what} is left out: its manifest says what no worker writes`)
      continue
    }
    noteStrangers(contents, manifest, what, note)
    if (manifest.found.manifest.kind === 'base') onBase(manifest.found.manifest, contents.folder.storedAt)
    yield* rows
  }
}

/** What is in the folder and in no manifest has no row. */
function noteStrangers(
  { objects }: FolderContents,
  { found, entries }: { found: Found; entries: PartEntry[] },
  what: string,
  note: (text: string) => void,
): void {
  const known = new Set([found.manifestKey, ...entries.map(({ key }) => key)])
  const strangers = [...objects.keys()].filter((key) => !known.has(key))
  if (strangers.length > 0) {
    note(`suspicious: ${what}: ${strangers.length} objects are not in its manifest, such as ${strangers[0]!}`)
  }
  for (const { key, storedOver } of objects.values()) {
    if (storedOver && known.has(key)) note(`suspicious: other bytes were stored over ${key} later`)
  }
}

function rowsOf(contents: FolderContents, { found, entries }: { found: Found; entries: PartEntry[] }): RebuiltItem[] {
  const { folder, objects } = contents
  const { manifest, manifestKey, manifestSha256 } = found
  const ended_at = objects.get(manifestKey)!.storedAt.toISOString()
  const bytes = objects.get(manifestKey)!.bytes
  const own = { key: manifestKey, bytes, raw_bytes: bytes, sha256: manifestSha256 }
  const row =
    manifest.kind === 'base'
      ? baseRow(manifest, manifestKey, manifestSha256, ended_at)
      : dumpRow(manifest, manifestKey, ended_at)
  const kindOf = (entry: PartEntry) => {
    if (manifest.kind === 'dump') return entry === own ? 'dump_manifest' : 'dump_part'
    return entry === own ? 'manifest' : entry === manifest.backup_manifest ? 'backup_manifest' : 'base_part'
  }
  const object = (entry: PartEntry): RebuiltItem => {
    const stored_at = objects.get(entry.key)!.storedAt.toISOString()
    return { kind: 'object', item: { ...entry, id: folder.id, kind: kindOf(entry), stored_at } }
  }
  return [row, ...entries.map(object), object(own)]
}

/** As the worker makes it in base-backup-job.ts. */
function baseRow(manifest: Manifest, manifest_key: string, manifest_sha256: string, ended_at: string): RebuiltItem {
  const parts = manifest.archives.flatMap((archive) => archive.parts)
  const { backup_id, label, timeline, start_lsn, stop_lsn, started_at, stopped_at, postgres_version_num } = manifest
  const known = { backup_id, label, timeline, start_lsn, stop_lsn, started_at, stopped_at, postgres_version_num }
  const item = { ...known, ...sizes(parts), parts: parts.length, manifest_key, manifest_sha256 }
  return { kind: 'base', item: { ...item, id: backup_id, ended_at } }
}

/** As the worker makes it in take-dump.ts. */
function dumpRow(manifest: DumpManifest, manifest_key: string, ended_at: string): RebuiltItem {
  const { dump_id, label, snapshot_lsn, snapshot_at, whole, masked, tables, postgres_version_num, warnings } = manifest
  const known = { dump_id, label, database_name: manifest.database, snapshot_lsn, snapshot_at, whole, masked }
  const counts = { tables: tables.length, table_rows: tables.reduce((sum, { rows }) => sum + rows, 0) }
  const item = { ...known, ...counts, ...sizes(partsOfDump(manifest)), manifest_key, postgres_version_num, warnings }
  return { kind: 'dump', item: { ...item, id: dump_id, ended_at } }
}

function sizes(parts: readonly PartEntry[]): { raw_bytes: number; stored_bytes: number } {
  return {
    raw_bytes: parts.reduce((sum, entry) => sum + entry.raw_bytes, 0),
    stored_bytes: parts.reduce((sum, entry) => sum + entry.bytes, 0),
  }
}

/** Folders right below `base/` and `dump/` that have no id for a name. */
export async function noteStrangeFolders(
  archive: Archive,
  prefix: string,
  note: (text: string) => void,
): Promise<void> {
  for await (const folder of archive.folders(prefix)) {
    if (!isBackupId(folder)) note(`${prefix}${folder}/ has no name that Postbox gives: left out`)
  }
}
