import { backupPrefix, dumpPrefix, homePrefix, type Home } from '../../box/key-names.js'
import { partsOfDump } from '../../box/dump-manifest.js'
import type { PartEntry } from '../../box/manifest.js'
import { asPostboxError, PostboxError } from '../../errors.js'
import { parseLsn } from '../../wal/lsn.js'
import type { Archive, StoredObject } from '../archive.js'
import { readDump } from '../dumps/stored-dumps.js'
import { locateEntries, type LocatedPart } from '../fetch-parts.js'
import { listHome, type ListedHome } from '../list-server.js'
import { readBackup } from '../stored-backups.js'
import { kindOfKey, type KeyKind } from './key-kind.js'

export interface Problem {
  /** error: something that was promised cannot be had. warning: look at it */
  severity: 'error' | 'warning'
  /** the backup or dump that it is about; null for WAL and whatever belongs to none */
  id: string | null
  /** a sentence that names keys */
  problem: string
}

/** What the archive holds of one life of a server, and what is wrong with it. */
export interface VerifiedHome {
  server: string
  system_identifier: string
  objects: number
  bytes: number
  /** whose manifest is there and every part of it */
  backups: number
  dumps: number
  segments: number
  tails: number
  problems: Problem[]
}

export interface VerifyOptions {
  /** one backup or dump; null for all, and all WAL */
  only: string | null
}

/** A folder whose manifest can be believed, and every part that it names. */
export interface VerifiedFolder {
  kind: 'base' | 'dump'
  id: string
  parts: LocatedPart[]
}

/**
 * Looks at everything that is stored of a server's life by listing alone. `onFolder` gets each backup and dump that is
 * whole, one at a time.
 *
 * Memory grows with gaps and with what is wrong, not with the number of segments.
 */
export async function verifyHome(
  archive: Archive,
  home: Home,
  { only }: VerifyOptions,
  onFolder: (folder: VerifiedFolder) => Promise<void>,
): Promise<VerifiedHome> {
  const { server, systemIdentifier: system_identifier } = home
  const counted = { objects: 0, bytes: 0, backups: 0, dumps: 0, segments: 0, tails: 0 }
  const problems: Problem[] = []
  const folders = new Folders(archive, home, problems, async (folder) => {
    counted[folder.kind === 'base' ? 'backups' : 'dumps'] += 1
    await onFolder(folder)
  })
  for (const prefix of only === null ? [homePrefix(home)] : [backupPrefix(home, only), dumpPrefix(home, only)]) {
    for await (const object of archive.list(prefix)) {
      const { kind, id } = kindOfKey(home, object.key)
      counted.objects += 1
      counted.bytes += object.bytes
      if (kind === 'segment') counted.segments += 1
      if (kind === 'tail') counted.tails += 1
      if (kind === 'base' || kind === 'dump') await folders.enter(kind, id!)
      else if (object.storedOver) problems.push(storedOver(object, null))
      if (kind === 'unknown') problems.push(unknown(object))
      else folders.see(kind, object)
    }
  }
  await folders.leave()
  problems.push(...problemsListed(await listHome(archive, home), only))
  return { server, system_identifier, ...counted, problems }
}

/** Compares the folders of backups and dumps with their manifests; a listing gives each folder's keys in one go. */
class Folders {
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

  see(kind: KeyKind, object: StoredObject): void {
    if (kind === 'base' || kind === 'dump') this.#current!.objects.set(object.key, object)
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
      this.problems.push({ severity: 'warning', id, problem: `${key} is not in the manifest` })
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
      this.problems.push({ severity: 'error', id, problem: damage(thrown) })
      return null
    }
  }
}

/** What is damaged is a line of the answer; an archive that does not answer ends it. */
export function damage(thrown: unknown): string {
  const error = asPostboxError(thrown)
  const codes: PostboxError['code'][] = ['object_damaged', 'object_missing', 'wal_invalid', 'wal_missing']
  if (!codes.includes(error.code)) throw thrown
  return error.message
}

function problemsListed({ backups, dumps, wal_gaps, problems }: ListedHome, only: string | null): Problem[] {
  const found: Problem[] = []
  for (const { dump_id: id, state, problems: said } of dumps) {
    if (only !== null && id !== only) continue
    for (const [index, problem] of said.entries()) {
      const lost = state === 'damaged' && index === 0
      found.push({ severity: lost ? 'error' : 'warning', id, problem: `dump: ${problem}` })
    }
  }
  for (const { backup_id: id, state, problems: said } of backups) {
    if (only !== null && id !== only) continue
    const lost = state === 'wal missing' || state === 'damaged'
    for (const [index, problem] of said.entries()) {
      found.push({ severity: lost && index === said.length - 1 ? 'error' : 'warning', id, problem })
    }
  }
  const newest = backups.find(({ state }) => state === 'restorable')
  for (const { timeline, from_lsn, to_lsn } of only === null ? wal_gaps : []) {
    // Before the newest backup it is history; behind it, the times after it are lost.
    const open = newest === undefined || parseLsn(to_lsn) > parseLsn(newest.start_lsn!)
    const problem = `WAL of timeline ${timeline} is missing from ${from_lsn} to ${to_lsn}`
    found.push({ severity: open ? 'error' : 'warning', id: null, problem })
  }
  if (only === null) found.push(...problems.map((problem): Problem => ({ severity: 'warning', id: null, problem })))
  return found
}

function storedOver({ key }: StoredObject, id: string | null): Problem {
  return { severity: 'warning', id, problem: `other bytes were stored over ${key} later; its first version counts` }
}

function unknown({ key }: StoredObject): Problem {
  return { severity: 'warning', id: null, problem: `${key} has no name that Postbox gives` }
}
