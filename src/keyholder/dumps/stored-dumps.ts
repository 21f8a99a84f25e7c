import { dumpPrefix, dumpsPrefix, isBackupId, type Home } from '../../box/key-names.js'
import { parseDumpManifest, partsOfDump, type DumpManifest } from '../../box/dump-manifest.js'
import { PostboxError } from '../../errors.js'
import type { Archive } from '../archive.js'
import { readCommit, type Broken, type Commit } from '../commit.js'
import { inOrder } from '../in-order.js'

/** A dump whose manifest is there. */
export type StoredDump = Commit<DumpManifest> & { dumpId: string }

/** Something under `dump/` that cannot be restored. */
export type BrokenDump = Broken & { dumpId: string }

const READ_AT_ONCE = 16

/** Ids of what lies under `dump/`, newest first; committed or not. */
export async function dumpIds(archive: Archive, home: Home): Promise<string[]> {
  const ids: string[] = []
  for await (const folder of archive.folders(dumpsPrefix(home))) if (isBackupId(folder)) ids.push(folder)
  return ids.sort().reverse()
}

/** Every dump of a server's life, newest first, a few manifests in memory at a time. */
export async function* dumps(archive: Archive, home: Home): AsyncGenerator<StoredDump | BrokenDump> {
  const ids = await dumpIds(archive, home)
  for await (const dump of inOrder(ids, { atOnce: READ_AT_ONCE }, (id) => readDump(archive, home, id))) {
    if (dump) yield dump
  }
}

/** One dump by its earliest manifest; null when nothing of it is stored (any more). */
export async function readDump(archive: Archive, home: Home, dumpId: string): Promise<StoredDump | BrokenDump | null> {
  const read = (key: string, content: Buffer) => checkManifest(key, parseDumpManifest(key, content), home, dumpId)
  const found = await readCommit(archive, dumpPrefix(home, dumpId), read)
  return found && { ...found, dumpId }
}

/** A manifest speaks for its own folder only. Throws `manifest_invalid`. */
function checkManifest(key: string, manifest: DumpManifest, home: Home, dumpId: string): DumpManifest {
  const wrong = (what: string) =>
    new PostboxError('manifest_invalid', `${key} ${what}`, 'Somebody copied or forged it. Restore another dump.')
  if (manifest.server !== home.server) throw wrong(`belongs to server ${manifest.server}`)
  if (manifest.system_identifier !== home.systemIdentifier) throw wrong(`belongs to ${manifest.system_identifier}`)
  if (manifest.dump_id !== dumpId) throw wrong(`belongs to dump ${manifest.dump_id}`)
  const prefix = dumpPrefix(home, dumpId)
  for (const part of partsOfDump(manifest)) {
    if (!part.key.startsWith(prefix)) throw wrong(`names ${part.key}, which is not its own`)
  }
  return manifest
}
