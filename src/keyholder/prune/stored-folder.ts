import { backupPrefix, dumpPrefix, type Home } from '../../box/key-names.js'
import { partsOfDump } from '../../box/dump-manifest.js'
import type { PartEntry } from '../../box/manifest.js'
import { PostboxError } from '../../errors.js'
import { isReplaced, placeOf, type BackupPlace } from '../backup-place.js'
import type { Archive, StoredObject } from '../archive.js'
import { dumpIds, readDump } from '../dumps/stored-dumps.js'
import { inOrder } from '../in-order.js'
import { backupIds, readBackup } from '../stored-backups.js'
import { damage } from '../verify/verify-home.js'
import type { WalMap } from '../wal-map.js'
import { findRoute } from '../wal-route.js'

/** A base backup or a dump, whole or not, as prune sees it. */
export interface StoredFolder {
  kind: 'base' | 'dump'
  home: Home
  id: string
  /** whether there is a manifest that can be believed */
  committed: boolean
  /**
   * good: it can be restored. unusable: committed, but something is missing. suspicious: no honest worker leaves it like
   * that. incomplete: it has no manifest
   */
  state: 'good' | 'unusable' | 'suspicious' | 'incomplete'
  /** why it is not good, a phrase each */
  problems: string[]
  /** when its manifest was stored, or the last object where there is none */
  storedAt: Date
  firstStoredAt: Date
  bytes: number
  objects: number
  parent: string | null
  /** only folders of one series stand in for each other */
  series: string
  /** where it lies in the WAL; null for dumps, and where that is not known */
  place: (BackupPlace & { segmentBytes: number; stoppedAt: Date }) | null
}

/** How far clocks may lie apart. */
const CLOCKS_MS = 3_600_000
/** No backup takes so long. One that seems to was copied here, or its server's clock is wrong. */
const LONGEST_MS = 7 * 86_400_000
const READ_AT_ONCE = 8

/** All base backups and dumps of one life of a server. */
export async function readFolders(archive: Archive, home: Home): Promise<StoredFolder[]> {
  const ids = [
    ...(await backupIds(archive, home)).map((id) => ({ kind: 'base' as const, id })),
    ...(await dumpIds(archive, home)).map((id) => ({ kind: 'dump' as const, id })),
  ]
  const folders: StoredFolder[] = []
  const read = ({ kind, id }: (typeof ids)[0]) => readFolder(archive, home, kind, id)
  for await (const found of inOrder(ids, { atOnce: READ_AT_ONCE }, read)) if (found) folders.push(found.folder)
  return folders
}

/** Names a folder among all lives of a server: whoever has a grant can store the same id under another life. */
export const uidOf = ({ home, id }: Pick<StoredFolder, 'home' | 'id'>): string => `${home.systemIdentifier}/${id}`

export function prefixOf({ kind, home, id }: Pick<StoredFolder, 'kind' | 'home' | 'id'>): string {
  return kind === 'base' ? backupPrefix(home, id) : dumpPrefix(home, id)
}

/** A folder's manifest, as far as it is of use here; null when there is none, or none that can be believed. */
export async function readEntries(
  archive: Archive,
  { kind, home, id }: Pick<StoredFolder, 'kind' | 'home' | 'id'>,
): Promise<{ entries: PartEntry[]; found: Found } | null> {
  if (kind === 'base') {
    const found = await readBackup(archive, home, id)
    if (found?.state !== 'committed') return null
    return {
      entries: [...found.manifest.archives.flatMap(({ parts }) => parts), found.manifest.backup_manifest],
      found,
    }
  }
  const found = await readDump(archive, home, id)
  return found?.state === 'committed' ? { entries: partsOfDump(found.manifest), found } : null
}

export type Found = Extract<Awaited<ReturnType<typeof readBackup | typeof readDump>>, { state: 'committed' }>

/** A folder with all that is in it. */
export interface FolderContents {
  folder: StoredFolder
  objects: ReadonlyMap<string, StoredObject>
  /** null when no manifest can be believed */
  read: { entries: PartEntry[]; found: Found } | null
}

/** One folder; null when nothing of it is stored (any more). */
export async function readFolder(
  archive: Archive,
  home: Home,
  kind: 'base' | 'dump',
  id: string,
): Promise<FolderContents | null> {
  const objects = new Map<string, StoredObject>()
  for await (const object of archive.list(prefixOf({ kind, home, id }))) objects.set(object.key, object)
  if (objects.size === 0) return null
  const read = await readEntries(archive, { kind, home, id })
  const times = [...objects.values()].map(({ storedAt }) => storedAt)
  const folder: StoredFolder = {
    kind,
    home,
    id,
    committed: read !== null,
    state: 'incomplete',
    problems: [],
    storedAt: times.reduce((latest, one) => (one > latest ? one : latest)),
    firstStoredAt: times.reduce((first, one) => (one < first ? one : first)),
    bytes: [...objects.values()].reduce((sum, { bytes }) => sum + bytes, 0),
    objects: objects.size,
    parent: null,
    series: 'base',
    place: null,
  }
  if (!read) {
    const manifests = [...objects.keys()].filter((key) => /\/manifest-[0-9a-f]{12}\.json$/.test(key))
    if (manifests.length > 0)
      Object.assign(folder, { state: 'suspicious', problems: ['no manifest of it can be trusted'] })
    return { folder, objects, read }
  }
  const { found, entries } = read
  const { manifest } = found
  folder.storedAt = objects.get(found.manifestKey)?.storedAt ?? folder.storedAt
  if (manifest.kind === 'base') {
    folder.parent = manifest.parent
    const stoppedAt = new Date(manifest.stopped_at)
    folder.place = {
      ...placeOf({ ...found, manifest, backupId: id }),
      segmentBytes: manifest.wal_segment_bytes,
      stoppedAt,
    }
  } else {
    folder.series = JSON.stringify([manifest.database, manifest.whole, manifest.masked])
  }
  folder.problems = [...found.suspicions, ...clocksOf(folder, timesOf(manifest))]
  folder.state = folder.problems.length > 0 ? 'suspicious' : 'good'
  const missing = missingOf(entries, objects)
  if (missing !== null) folder.problems.push(missing)
  if (missing !== null && folder.state === 'good') folder.state = 'unusable'
  return { folder, objects, read }
}

/** What a manifest says of time: begun, ended. */
function timesOf(manifest: Found['manifest']): { begun: Date; ended: Date } {
  if (manifest.kind === 'dump') return { begun: new Date(manifest.snapshot_at), ended: new Date(manifest.snapshot_at) }
  return { begun: new Date(manifest.started_at), ended: new Date(manifest.stopped_at) }
}

function clocksOf({ id, storedAt }: StoredFolder, { begun, ended }: { begun: Date; ended: Date }): string[] {
  const stored = storedAt.getTime()
  const named = Date.parse(id.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z.*$/, '$1-$2-$3T$4:$5:$6Z'))
  if (Number.isNaN(named)) return ['its id says a time that there is not']
  const latest = Math.max(begun.getTime(), ended.getTime(), named)
  const said = `it was stored at ${storedAt.toISOString()}`
  if (latest > stored + CLOCKS_MS)
    return [`its clock lies in the future: ${new Date(latest).toISOString()}, but ${said}`]
  if (Math.min(begun.getTime(), named) < stored - LONGEST_MS) {
    return [`it was begun at ${begun.toISOString()}, but ${said}: it was copied, or its clock was wrong`]
  }
  return []
}

/** What of a manifest is not there as it says; null when all is. */
export function missingOf(entries: readonly PartEntry[], objects: ReadonlyMap<string, StoredObject>): string | null {
  const gone = entries.filter(({ key, bytes }) => objects.get(key)?.bytes !== bytes)
  if (gone.length === 0) return null
  return `${gone.length} of its ${entries.length} parts are missing or of another size, such as ${gone[0]!.key}`
}

/** Marks base backups whose WAL, from start to end, is not all there. */
export async function checkWal(wal: WalMap, folders: readonly StoredFolder[]): Promise<void> {
  for (const folder of folders) {
    const { place } = folder
    if (!place || folder.state !== 'good') continue
    const problem = await walProblem(wal, place)
    if (problem === null) continue
    folder.state = 'unusable'
    folder.problems.push(problem)
  }
}

async function walProblem(wal: WalMap, place: BackupPlace): Promise<string | null> {
  try {
    const route = await findRoute(wal, place, place.timeline)
    const whole = route !== null && route.end >= place.stopLsn && !(await isReplaced(wal, place))
    return whole ? null : 'WAL that it needs is not stored'
  } catch (thrown) {
    if (!(thrown instanceof PostboxError)) throw thrown
    return damage(thrown)
  }
}
