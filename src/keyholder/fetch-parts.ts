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
  const entries = [...manifest.archives.flatMap((one) => one.parts), manifest.backup_manifest]
  const located = await locateEntries(archive, backupPrefix(home, manifest.backup_id), entries)
  const archives = manifest.archives.map(({ tablespace, location, parts }) => ({
    tablespace,
    location,
    parts: parts.map((part) => located.get(part.key)!),
  }))
  return { archives, backupManifest: located.get(manifest.backup_manifest.key)!, storedOver: storedOver(located) }
}

/** Finds the objects of `entries` below `prefix`; all of them, or throws `object_missing` or `object_damaged`. */
export async function locateEntries(
  archive: Archive,
  prefix: string,
  entries: readonly PartEntry[],
): Promise<Map<string, LocatedPart>> {
  const wanted = new Map(entries.map((entry) => [entry.key, entry]))
  const located = new Map<string, LocatedPart>()
  for await (const object of archive.list(prefix)) {
    const entry = wanted.get(object.key)
    if (!entry) continue
    if (object.bytes !== entry.bytes) throw damaged(entry, `has ${object.bytes} bytes instead of ${entry.bytes}`)
    located.set(object.key, { entry, object })
  }
  const missing = [...wanted.keys()].filter((key) => !located.has(key))
  if (missing.length > 0) throw gone(missing)
  return located
}

/** Keys under which other bytes were stored later. */
export function storedOver(located: ReadonlyMap<string, LocatedPart>): string[] {
  return [...located.values()].flatMap(({ object }) => (object.storedOver ? [object.key] : []))
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
async function fetchPart(archive: Archive, { entry, object }: LocatedPart): Promise<Buffer> {
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
