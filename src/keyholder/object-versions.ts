import type { DeleteMarkerEntry, ListObjectVersionsCommandOutput, ObjectVersion } from '@aws-sdk/client-s3'

/** One stored object, by its earliest version: whoever may post can put newer ones over it, and nothing under it. */
export interface StoredObject {
  key: string
  bytes: number
  storedAt: Date
  /** null where the bucket keeps no versions */
  versionId: string | null
  /** versions that were stored over it later: harmless repeats of a post, as long as they have the same bytes */
  laterVersions: number
  /** whether one of those has other bytes, which nobody but an intruder stores */
  storedOver: boolean
}

/** Everything that is stored under one key, each list in the order of the listing: newest first. */
export interface StoredKey {
  key: string
  versions: readonly ObjectVersion[]
  markers: readonly DeleteMarkerEntry[]
}

/**
 * Puts the pages of ListObjectVersions together into keys, in their order.
 *
 * S3 lists the versions of a key newest first, apart from its delete markers, and cuts pages anywhere.
 */
export class VersionPages {
  #keys = new Map<string, { versions: ObjectVersion[]; markers: DeleteMarkerEntry[] }>()

  #entry(key: string) {
    let known = this.#keys.get(key)
    if (!known) this.#keys.set(key, (known = { versions: [], markers: [] }))
    return known
  }

  /** Takes one page and gives the keys that are complete with it. */
  *add(page: ListObjectVersionsCommandOutput): Generator<StoredKey> {
    const decode = page.EncodingType === 'url' ? decodeKey : (key: string) => key
    for (const version of page.Versions ?? []) this.#entry(decode(version.Key!)).versions.push(version)
    for (const marker of page.DeleteMarkers ?? []) this.#entry(decode(marker.Key!)).markers.push(marker)
    // The last key of a page may go on in the next.
    const open = page.IsTruncated ? decode(page.NextKeyMarker ?? '') : null
    const unfinished = open === null ? undefined : this.#keys.get(open)
    if (open !== null) this.#keys.delete(open)
    const complete = [...this.#keys].sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
    this.#keys = new Map()
    for (const [key, entries] of complete) yield { key, ...entries }
    if (open !== null && unfinished) this.#keys.set(open, unfinished)
  }
}

/** A key by its earliest version; null where the newest is a delete marker: such a key is gone. */
export function asObject({ key, versions, markers }: StoredKey): StoredObject | null {
  const earliest = versions.reduce<ObjectVersion | null>((one, two) => (one && !isEarlier(two, one) ? one : two), null)
  if (!earliest || markers.some(({ IsLatest }) => IsLatest)) return null
  return {
    key,
    bytes: earliest.Size ?? 0,
    storedAt: earliest.LastModified ?? new Date(0),
    // An unversioned bucket calls its only version "null"; not every service takes that name back.
    versionId: earliest.VersionId === 'null' && versions.length === 1 ? null : (earliest.VersionId ?? null),
    laterVersions: versions.length - 1,
    storedOver: new Set(versions.map(({ ETag, Size }) => `${ETag ?? ''} ${Size ?? 0}`)).size > 1,
  }
}

/** Times have whole seconds on many services; among equals the one listed later is older. */
function isEarlier(version: ObjectVersion, than: ObjectVersion): boolean {
  return (version.LastModified?.getTime() ?? 0) <= (than.LastModified?.getTime() ?? 0)
}

/** A key as listings with EncodingType=url write it. */
export function decodeKey(key: string): string {
  try {
    return decodeURIComponent(key.replace(/\+/g, ' '))
  } catch {
    return key
  }
}
