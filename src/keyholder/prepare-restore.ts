import { resolve } from 'node:path'
import type { Archive } from './archive.js'
import { locateParts, type LocatedBackup } from './fetch-parts.js'
import { planRestore, type RestorePlan, type RestoreRequest } from './plan.js'
import { checkEmpty, checkOwner, placeArchives, type Place } from './restore-directories.js'
import type { Owner } from './write-files.js'

/** A restore that is known to be possible: the backup's parts are there, its WAL is, and so is the room for it. */
export interface PreparedRestore {
  plan: RestorePlan
  located: LocatedBackup
  dataDir: string
  places: Place[]
  /** whether a tablespace goes elsewhere than it lay */
  moved: boolean
  owner: Owner
}

/**
 * Checks everything that can be checked before anything is written. Fetches no part.
 *
 * `mapping`: oid of a tablespace → directory. Throws `data_dir_not_empty`, what planRestore() throws, and
 * `object_missing` or `object_damaged` for parts that are not as the manifest says.
 */
export async function prepareRestore(
  archive: Archive,
  request: RestoreRequest,
  directory: string,
  mapping: ReadonlyMap<string, string>,
): Promise<PreparedRestore> {
  const dataDir = resolve(directory)
  const { owner, exists } = await checkEmpty(dataDir)
  checkOwner(dataDir, exists)
  const plan = await planRestore(archive, request)
  const places = placeArchives(plan.backup.manifest, dataDir, mapping)
  for (const place of places) if (place.linked) await checkEmpty(place.directory)
  const located = await locateParts(archive, plan.home, plan.backup.manifest)
  return { plan, located, dataDir, places, moved: mapping.size > 0, owner }
}
