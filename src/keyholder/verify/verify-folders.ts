import { backupPrefix, dumpPrefix, type Home } from '../../box/key-names.js'
import { partsOfDump } from '../../box/dump-manifest.js'
import type { PartEntry } from '../../box/manifest.js'
import type { Archive, StoredObject } from '../archive.js'
import { readDump } from '../dumps/stored-dumps.js'
import { locateEntries, type LocatedPart } from '../fetch-parts.js'
import type { Account } from '../key-account.js'
import { readBackup } from '../stored-backups.js'
import { damage, lost, odd, type Problem } from './problem.js'

/** A folder whose manifest can be believed, and every part that it names. */
export interface VerifiedFolder {
  kind: 'base' | 'dump'
  id: string
  parts: LocatedPart[]
}

/** Compares the folders of backups and dumps with their manifests; a listing gives each folder's keys in one go. */
export class Folders {
  #current: { kind: 'base' | 'dump'; id: string; objects: Map<string, StoredObject> } | null = null

  constructor(
    readonly archive: Archive,
    readonly home: Home,
    readonly problems: Problem[],
    readonly onWhole: (folder: VerifiedFolder) => Promise<void>,
  ) {}

  async enter(kind: 'base' | 'dump', id: string): Promise<void> {
    if (this.#current?.id === id && this.#current.kind === kind) return
    await this.leave()
    this.#current = { kind, id, objects: new Map() }
  }

  see(account: Account, object: StoredObject): void {
    if ('id' in account) this.#current!.objects.set(object.key, object)
  }

  async leave(): Promise<void> {
    const folder = this.#current
    this.#current = null
    if (!folder) return
    const { kind, id, objects } = folder
    const found = await this.#read(kind, id)
    // What listHome() says of it is said once.
    if (!found) return
    for (const object of objects.values()) if (object.storedOver) this.problems.push(storedOver(object, id))
    const known = new Set([found.manifestKey, ...found.entries.map(({ key }) => key)])
    for (const key of objects.keys()) {
      if (known.has(key) || /\/manifest-[0-9a-f]{12}\.json$/.test(key)) continue
      this.problems.push(odd(`${key} is not in the manifest`, id))
    }
    const parts = await this.#locate(id, found.prefix, found.entries)
    if (parts) await this.onWhole({ kind, id, parts })
  }

  async #read(kind: 'base' | 'dump', id: string) {
    if (kind === 'base') {
      const backup = await readBackup(this.archive, this.home, id)
      if (backup?.state !== 'committed') return null
      const { manifest, manifestKey } = backup
      const entries = [...manifest.archives.flatMap(({ parts }) => parts), manifest.backup_manifest]
      return { manifestKey, entries, prefix: backupPrefix(this.home, id) }
    }
    const dump = await readDump(this.archive, this.home, id)
    if (dump?.state !== 'committed') return null
    const { manifest, manifestKey } = dump
    return { manifestKey, entries: partsOfDump(manifest), prefix: dumpPrefix(this.home, id) }
  }

  async #locate(id: string, prefix: string, entries: PartEntry[]): Promise<LocatedPart[] | null> {
    try {
      const located = await locateEntries(this.archive, prefix, entries)
      return entries.map(({ key }) => located.get(key)!)
    } catch (thrown) {
      this.problems.push(lost(damage(thrown), id))
      return null
    }
  }
}

export const storedOver = ({ key }: StoredObject, id: string | null): Problem =>
  odd(`other bytes were stored over ${key} later; its first version counts`, id)
