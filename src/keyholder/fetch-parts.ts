import { hash } from 'node:crypto'
import { backupPrefix, type Home } from '../box/key-names.js'
import type { Manifest, PartEntry } from '../box/manifest.js'
import { PostboxError } from '../errors.js'
import type { Archive, StoredObject } from './archive.js'
import { inOrder } from './in-order.js'

/** A part of a backup, and the object that it is in. */
export interface LocatedPart {
  entry: PartEntry
  object: StoredObject
}

/** Everything a backup is made of, found in the bucket. */
export interface LocatedBackup {
  archives: { tablespace: string; location: string | null; parts: LocatedPart[] }[]
  backupManifest: LocatedPart
  /** keys under which other bytes were stored later; the first ones are restored */
  storedOver: string[]
}

const MAX_FETCHED_BYTES = 36 * 1024 * 1024
const NAMES_SHOWN = 5

/**
 * Finds every part of a backup by listing, so that a missing one is known before anything is written.
 *
 * Throws `object_missing` or `object_damaged` naming keys.
 */
export async function locateParts(archive: Archive, home: Home, manifest: Manifest): Promise<LocatedBackup> {
  const stored = new Map<string, StoredObject>()
  for await (const object of archive.list(backupPrefix(home, manifest.backup_id))) stored.set(object.key, object)
  const missing: string[] = []
  const locate = (entry: PartEntry): LocatedPart => {
    const object = stored.get(entry.key)
    if (!object) missing.push(entry.key)
    else if (object.bytes !== entry.bytes) throw damaged(entry, `has ${object.bytes} bytes instead of ${entry.bytes}`)
    return { entry, object: object! }
  }
  const archives = manifest.archives.map(({ tablespace, location, parts }) => ({
    tablespace,
    location,
    parts: parts.map(locate),
  }))
  const backupManifest = locate(manifest.backup_manifest)
  if (missing.length > 0) throw gone(missing)
  const parts = [...archives.flatMap((one) => one.parts), backupManifest]
  const storedOver = parts.filter(({ object }) => object.storedOver).map(({ entry }) => entry.key)
  return { archives, backupManifest, storedOver }
}

/** Fetches parts side by side and gives them in order, each with its SHA-256 verified. `atOnce`: requests in flight. */
export function fetchParts<T extends LocatedPart>(
  archive: Archive,
  parts: Iterable<T>,
  atOnce: number,
): AsyncGenerator<{ part: T; stored: Buffer }> {
  const room = { atOnce, bytes: MAX_FETCHED_BYTES, bytesOf: (part: T) => part.entry.bytes }
  return inOrder(parts, room, async (part) => ({ part, stored: await fetchPart(archive, part) }))
}

/** The stored bytes of one part. Throws `object_damaged` naming its key. */
export async function fetchPart(archive: Archive, { entry, object }: LocatedPart): Promise<Buffer> {
  const stored = await archive.read(object)
  if (hash('sha256', stored) === entry.sha256) return stored
  // Once more: bytes may have changed on the way, where there is no TLS.
  const again = await archive.read(object)
  if (hash('sha256', again) === entry.sha256) return again
  throw damaged(entry, 'holds other bytes than the manifest says')
}

function damaged(entry: PartEntry, what: string): PostboxError {
  const hint = 'Nothing of it was written. Restore another backup; see "postbox list".'
  return new PostboxError('object_damaged', `${entry.key} ${what}`, hint)
}

function gone(keys: string[]): PostboxError {
  const more = keys.length > NAMES_SHOWN ? ` and ${keys.length - NAMES_SHOWN} more` : ''
  const names = keys.slice(0, NAMES_SHOWN).join(', ') + more
  const hint = 'Somebody deleted them. Restore another backup; see "postbox list".'
  return new PostboxError('object_missing', `the archive does not have ${names}`, hint)
}
