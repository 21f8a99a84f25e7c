import { chmod, chown, mkdir, readdir, stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { Manifest } from '../box/manifest.js'
import { PostboxError } from '../errors.js'
import type { Owner } from './write-files.js'

/** Where one archive of a backup goes. */
export interface Place {
  /** `base` or the tablespace's oid */
  tablespace: string
  directory: string
  /** whether pg_tblspc needs a link to it */
  linked: boolean
}

const IN_PLACE = /^pg_tblspc\/\d+$/

/**
 * Checks that a directory can take a restore, and says who its files will belong to. Makes nothing.
 *
 * Throws `data_dir_not_empty`.
 */
export async function checkEmpty(directory: string): Promise<{ owner: Owner; exists: boolean }> {
  const asRoot = process.geteuid?.() === 0
  const found = await readdir(directory).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null
    throw new PostboxError('bad_argument', `${directory} cannot be read: ${error.message}`, 'Name another directory.')
  })
  if (found && found.length > 0) {
    const hint = 'Name an empty directory or one that is not there; Postbox never writes over files.'
    throw new PostboxError('data_dir_not_empty', `${directory} is not empty`, hint)
  }
  if (!asRoot) return { owner: null, exists: found !== null }
  if (!found) return { owner: null, exists: false }
  const { uid, gid } = await stat(directory)
  return { owner: { uid, gid }, exists: true }
}

/**
 * Where each archive goes: tablespaces to their old places, unless `mapping` (oid → directory) says otherwise.
 *
 * Throws `bad_argument` for an oid that the backup does not have.
 */
export function placeArchives(manifest: Manifest, dataDir: string, mapping: ReadonlyMap<string, string>): Place[] {
  const known = manifest.archives.filter((one) => one.tablespace !== 'base').map((one) => one.tablespace)
  for (const oid of mapping.keys()) {
    if (known.includes(oid)) continue
    const hint = known.length === 0 ? 'The backup has no tablespaces.' : `It has these: ${known.join(', ')}.`
    throw new PostboxError('bad_argument', `the backup has no tablespace ${oid}`, hint)
  }
  const places = manifest.archives.map(({ tablespace, location }): Place => {
    if (tablespace === 'base') return { tablespace, directory: dataDir, linked: false }
    const mapped = mapping.get(tablespace)
    if (mapped !== undefined) return { tablespace, directory: resolve(mapped), linked: true }
    // allow_in_place_tablespaces: a plain directory inside the data directory.
    const inPlace = location !== null && IN_PLACE.test(location)
    if (inPlace) return { tablespace, directory: resolve(dataDir, location), linked: false }
    if (location === null || !location.startsWith('/')) {
      const hint = `Say where it goes: --tablespace ${tablespace}=DIR.`
      throw new PostboxError('restore_failed', `the manifest does not say where tablespace ${tablespace} lay`, hint)
    }
    return { tablespace, directory: location, linked: true }
  })
  checkDistinct(places)
  return places
}

function checkDistinct(places: readonly Place[]): void {
  for (const [index, { directory }] of places.entries()) {
    const other = places.slice(0, index).find((place) => place.directory === directory)
    if (!other) continue
    const hint = 'Give each tablespace a directory of its own with --tablespace OID=DIR.'
    throw new PostboxError('bad_argument', `${directory} is named for two things`, hint)
  }
}

/** Makes the directories that are missing and closes them to others. `owner`: of the data directory. */
export async function makeDirectories(directories: readonly string[], owner: Owner): Promise<void> {
  for (const directory of directories) {
    await mkdir(directory, { recursive: true, mode: 0o700 })
    await chmod(directory, 0o700)
    if (owner) await chown(directory, owner.uid, owner.gid)
  }
}

/** As root, files go to the owner of the data directory, so it must be there. Throws `bad_argument`. */
export function checkOwner(directory: string, exists: boolean): void {
  if (exists || process.geteuid?.() !== 0) return
  throw new PostboxError(
    'bad_argument',
    `${directory} does not exist, and root cannot run Postgres`,
    'Make it first, empty, and give it to the user that runs Postgres; the files will belong to its owner.',
  )
}
