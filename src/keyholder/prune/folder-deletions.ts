import type { Decision } from './decisions.js'
import type { DeletableArchive } from './deletable-archive.js'
import { deletionOf, type Deletion } from './deletion.js'
import { accountOf } from '../key-account.js'
import { prefixOf, readEntries, type StoredFolder } from './stored-folder.js'

/** What of one backup or dump is to go: its manifests first, so that what is left is never offered. */
export interface FolderDeletions {
  folder: StoredFolder
  manifests: Deletion[]
  parts: Deletion[]
  /** keys in its folder that its manifest does not name: they stay */
  strangers: string[]
}

/**
 * Keys of a backup or dump that is to be deleted.
 *
 * Of one that is committed, what its manifest names; of one that was never finished, what bears the name of a part; of
 * one whose deletion was begun, what that plan named (`begun`).
 */
export async function folderDeletions(
  archive: DeletableArchive,
  { folder, because }: Decision,
  begun: ReadonlySet<string> | null,
): Promise<FolderDeletions> {
  const manifest = begun ? null : await readEntries(archive, folder)
  const named = begun ?? (manifest && new Set(manifest.entries.map(({ key }) => key)))
  const found: FolderDeletions = { folder, manifests: [], parts: [], strangers: [] }
  for await (const stored of archive.keys(prefixOf(folder))) {
    const account = accountOf(folder.home, stored.key)
    const isOurs = (account?.kind === 'base' || account?.kind === 'dump') && account.id === folder.id
    if (isOurs && account.isManifest) found.manifests.push(deletionOf(stored, account, because.join('; ')))
    else if (isOurs && (named === null || named.has(stored.key))) {
      found.parts.push(deletionOf(stored, account, because.join('; ')))
    } else if (stored.versions.length > 0) found.strangers.push(stored.key)
  }
  return found
}
