import { backupPrefix, basePrefix, isBackupId, type Home } from '../box/key-names.js'
import { parseManifest, type Manifest } from '../box/manifest.js'
import { checkServerName } from '../box/server-name.js'
import { PostboxError } from '../errors.js'
import type { Archive } from './archive.js'
import { readCommit, type Broken, type Commit } from './commit.js'
import { inOrder } from './in-order.js'

/** A base backup whose manifest is there. */
export type StoredBackup = Commit<Manifest> & { backupId: string }

/** Something under `base/` that cannot be restored: never finished, or its manifest cannot be trusted. */
export type BrokenBackup = Broken & { backupId: string }

const READ_AT_ONCE = 16

/** Servers that have a folder in the bucket. */
export async function servers(archive: Archive): Promise<string[]> {
  const names: string[] = []
  for await (const name of archive.folders('')) {
    try {
      names.push(checkServerName(name))
    } catch {
      // Not ours: a bucket may hold other things.
    }
  }
  return names
}

/** System identifiers that a server has had: another after initdb or pg_upgrade. */
export async function systemIdentifiers(archive: Archive, server: string): Promise<string[]> {
  const found: string[] = []
  for await (const folder of archive.folders(`${server}/`)) if (/^\d+$/.test(folder)) found.push(folder)
  return found
}

/** Ids of what lies under `base/`, newest first; committed or not. One request per thousand. */
export async function backupIds(archive: Archive, home: Home): Promise<string[]> {
  const ids: string[] = []
  for await (const folder of archive.folders(basePrefix(home))) if (isBackupId(folder)) ids.push(folder)
  return ids.sort().reverse()
}

/** Every backup of a server's life, newest first, a few manifests in memory at a time. */
export async function* backups(archive: Archive, home: Home): AsyncGenerator<StoredBackup | BrokenBackup> {
  const ids = await backupIds(archive, home)
  for await (const backup of inOrder(ids, { atOnce: READ_AT_ONCE }, (id) => readBackup(archive, home, id))) {
    if (backup) yield backup
  }
}

/** One backup by its earliest manifest; null when nothing of it is stored (any more). */
export async function readBackup(
  archive: Archive,
  home: Home,
  backupId: string,
): Promise<StoredBackup | BrokenBackup | null> {
  const prefix = backupPrefix(home, backupId)
  const read = (key: string, content: Buffer) => checkManifest(key, parseManifest(key, content), home, backupId)
  const found = await readCommit(archive, prefix, read)
  return found && { ...found, backupId }
}

/**
 * Size of a life's segments: what that manifest says which was stored first. Whoever holds a grant can store later, but not
 * earlier. Null where none says it.
 */
export function firstSegmentBytes(
  of: readonly { segmentBytes: number | null; storedAt: Date | null }[],
): number | null {
  const said = of.filter(({ segmentBytes }) => segmentBytes !== null)
  const at = ({ storedAt }: { storedAt: Date | null }) => storedAt?.getTime() ?? Infinity
  return said.sort((a, b) => at(a) - at(b))[0]?.segmentBytes ?? null
}

/** A manifest speaks for its own folder only: its parts must lie there. Throws `manifest_invalid`. */
function checkManifest(key: string, manifest: Manifest, home: Home, backupId: string): Manifest {
  const wrong = (what: string) =>
    new PostboxError('manifest_invalid', `${key} ${what}`, 'Somebody copied or forged it. Restore another backup.')
  if (manifest.server !== home.server) throw wrong(`belongs to server ${manifest.server}`)
  if (manifest.system_identifier !== home.systemIdentifier) throw wrong(`belongs to ${manifest.system_identifier}`)
  if (manifest.backup_id !== backupId) throw wrong(`belongs to backup ${manifest.backup_id}`)
  const prefix = backupPrefix(home, backupId)
  for (const part of [...manifest.archives.flatMap((one) => one.parts), manifest.backup_manifest]) {
    if (!part.key.startsWith(prefix)) throw wrong(`names ${part.key}, which is not its own`)
  }
  return manifest
}
