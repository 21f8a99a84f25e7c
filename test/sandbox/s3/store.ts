import { createHash, randomBytes } from 'node:crypto'

/** One stored version of a key. */
export interface Version {
  versionId: string
  /** null: a delete marker */
  bytes: Buffer | null
  md5: string
  contentType: string
  storedAt: Date
  /** base64, when the request stated one and it was right */
  sha256: string | null
  retainUntil: Date | null
}

export interface BucketSetup {
  name: string
  versioned?: boolean
  /** Object Lock with a default retention of a day in compliance mode; implies versions */
  lock?: boolean
}

/** A bucket in memory. Also what tests look into and damage. */
export class Bucket {
  readonly name: string
  readonly versioned: boolean
  readonly lock: boolean
  readonly #versions = new Map<string, Version[]>()
  /** in order, so that a listing finds its place by halving */
  readonly #keys: string[] = []

  constructor(setup: BucketSetup) {
    this.name = setup.name
    this.lock = setup.lock ?? false
    this.versioned = this.lock || (setup.versioned ?? false)
  }

  /** Keys with a current object, in order. */
  keys(prefix = ''): string[] {
    return this.#keys.filter((key) => key.startsWith(prefix) && this.current(key)?.bytes)
  }

  /** All keys in order, those under delete markers too. */
  get allKeys(): readonly string[] {
    return this.#keys
  }

  /** The current object's bytes; throws when there is none, so that tests need no check. */
  get(key: string): Buffer {
    const bytes = this.current(key)?.bytes
    if (!bytes) throw new Error(`${this.name} holds no ${key}`)
    return bytes
  }

  /** Newest version, perhaps a delete marker. */
  current(key: string): Version | undefined {
    return this.#versions.get(key)?.[0]
  }

  /** All versions of a key, newest first. */
  versions(key: string): readonly Version[] {
    return this.#versions.get(key) ?? []
  }

  /** Stores an object: another version, or in place of the last where the bucket keeps none. */
  put(key: string, bytes: Buffer, given: Partial<Version> = {}): Version {
    const version: Version = {
      versionId: this.versioned ? randomBytes(16).toString('hex') : 'null',
      bytes,
      md5: createHash('md5').update(bytes).digest('hex'),
      contentType: 'binary/octet-stream',
      storedAt: new Date(),
      sha256: null,
      retainUntil: this.lock ? new Date(Date.now() + 86_400_000) : null,
      ...given,
    }
    this.#add(key, version)
    return version
  }

  /** DELETE without a version: a delete marker, or the object is gone where no versions are kept. */
  delete(key: string, now: Date): Version | null {
    if (!this.versioned) {
      this.remove(key)
      return null
    }
    const marker = this.put(key, Buffer.alloc(0), { bytes: null, storedAt: now, retainUntil: null, md5: '' })
    return marker
  }

  /** Takes a version away for good. */
  deleteVersion(key: string, versionId: string): void {
    const left = this.versions(key).filter((version) => version.versionId !== versionId)
    if (left.length === 0) this.remove(key)
    else this.#versions.set(key, left)
  }

  /** Takes a key away with all its versions, whatever their retention: damage done by a test. */
  remove(key: string): void {
    if (!this.#versions.delete(key)) return
    this.#keys.splice(this.position(key), 1)
  }

  /** Changes the stored bytes of the current version behind S3's back: damage done by a test. */
  corrupt(key: string, change: (bytes: Buffer) => Buffer = flipMiddle): void {
    const version = this.current(key)
    if (!version?.bytes) throw new Error(`${this.name} holds no ${key}`)
    version.bytes = change(Buffer.from(version.bytes))
  }

  /** Index in `allKeys` of the first key that is not before `key`. */
  position(key: string): number {
    let [low, high] = [0, this.#keys.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#keys[middle]! < key) low = middle + 1
      else high = middle
    }
    return low
  }

  #add(key: string, version: Version): void {
    const versions = this.#versions.get(key)
    if (!versions) {
      this.#keys.splice(this.position(key), 0, key)
      this.#versions.set(key, [version])
    } else if (this.versioned) versions.unshift(version)
    else versions[0] = version
  }
}

function flipMiddle(bytes: Buffer): Buffer {
  const middle = bytes.length >>> 1
  bytes[middle] = (bytes[middle] ?? 0) ^ 0xff
  return bytes
}
