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

interface KeyVersions {
  earliest: ObjectVersion | null
  versions: number
  /** ETag and size of each version; more than one when they differ */
  contents: Set<string>
  deleted: boolean
}

/**
 * Puts the pages of ListObjectVersions together into objects, in key order.
 *
 * S3 lists the versions of a key newest first, apart from its delete markers, and cuts pages anywhere. A key whose
 * newest entry is a delete marker is gone.
 */
export class VersionPages {
  #keys = new Map<string, KeyVersions>()

  #addVersion(key: string, version: ObjectVersion): void {
    const known = this.#entry(key)
    known.versions++
    known.contents.add(`${version.ETag ?? ''} ${version.Size ?? 0}`)
    if (!known.earliest || isEarlier(version, known.earliest)) known.earliest = version
  }

  #addMarker(key: string, marker: DeleteMarkerEntry): void {
    const known = this.#entry(key)
    if (marker.IsLatest) known.deleted = true
  }

  #entry(key: string): KeyVersions {
    let known = this.#keys.get(key)
    if (!known) this.#keys.set(key, (known = { earliest: null, versions: 0, contents: new Set(), deleted: false }))
    return known
  }

  /** Takes one page and gives the objects that are complete with it. */
  *add(page: ListObjectVersionsCommandOutput): Generator<StoredObject> {
    const decode = page.EncodingType === 'url' ? decodeKey : (key: string) => key
    for (const version of page.Versions ?? []) this.#addVersion(decode(version.Key!), version)
    for (const marker of page.DeleteMarkers ?? []) this.#addMarker(decode(marker.Key!), marker)
    // The last key of a page may go on in the next.
    const open = page.IsTruncated ? decode(page.NextKeyMarker ?? '') : null
    const unfinished = open === null ? undefined : this.#keys.get(open)
    if (open !== null) this.#keys.delete(open)
    yield* this.#finish()
    if (open !== null && unfinished) this.#keys.set(open, unfinished)
  }

  *#finish(): Generator<StoredObject> {
    const complete = [...this.#keys].sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
    this.#keys = new Map()
    for (const [key, { earliest, versions, contents, deleted }] of complete) {
      if (!earliest || deleted) continue
      yield {
        key,
        bytes: earliest.Size ?? 0,
        storedAt: earliest.LastModified ?? new Date(0),
        // An unversioned bucket calls its only version "null"; not every service takes that name back.
        versionId: earliest.VersionId === 'null' && versions === 1 ? null : (earliest.VersionId ?? null),
        laterVersions: versions - 1,
        storedOver: contents.size > 1,
      }
    }
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
