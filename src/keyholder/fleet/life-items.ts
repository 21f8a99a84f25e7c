import { partsOfDump } from '../../box/dump-manifest.js'
import type { Home } from '../../box/key-names.js'
import type { PartEntry } from '../../box/manifest.js'
import type { Archive } from '../archive.js'
import { placeOf, type BackupPlace } from '../backup-place.js'
import { dumps } from '../dumps/stored-dumps.js'
import { backups } from '../stored-backups.js'

/** A base backup or dump, without its parts: memory must not grow with these. */
export interface LifeItem {
  id: string
  state: 'committed' | 'incomplete' | 'damaged'
  label: string | null
  /** of a base backup when it began, of a dump when its snapshot was taken; by the id where no manifest says it */
  at: Date
  /** when its manifest was stored; null for dumps, and without a manifest */
  storedAt: Date | null
  /** null for dumps, and without a manifest */
  stoppedAt: Date | null
  storedBytes: number
  rawBytes: number
  /** parts and manifests */
  objects: number
  database: string | null
  suspicions: readonly string[]
  place: BackupPlace | null
  segmentBytes: number | null
}

/** Base backups, newest first. Two requests for each. */
export async function lifeBackups(archive: Archive, home: Home): Promise<LifeItem[]> {
  const found: LifeItem[] = []
  for await (const backup of backups(archive, home)) {
    const { backupId: id, state, suspicions } = backup
    if (state !== 'committed') {
      found.push({ ...unknown(id), state, suspicions })
      continue
    }
    const { manifest } = backup
    const parts = [...manifest.archives.flatMap((one) => one.parts), manifest.backup_manifest]
    found.push({
      ...unknown(id),
      ...sizes(parts),
      state,
      suspicions,
      label: manifest.label,
      at: new Date(manifest.started_at),
      storedAt: backup.storedAt,
      stoppedAt: new Date(manifest.stopped_at),
      place: placeOf(backup),
      segmentBytes: manifest.wal_segment_bytes,
    })
  }
  return found
}

/** Dumps, newest first. Two requests for each. */
export async function lifeDumps(archive: Archive, home: Home): Promise<LifeItem[]> {
  const found: LifeItem[] = []
  for await (const dump of dumps(archive, home)) {
    const { dumpId: id, state, suspicions } = dump
    if (state !== 'committed') {
      found.push({ ...unknown(id), state, suspicions })
      continue
    }
    const { label, database, snapshot_at } = dump.manifest
    const stored = sizes(partsOfDump(dump.manifest))
    found.push({ ...unknown(id), ...stored, state, suspicions, label, database, at: new Date(snapshot_at) })
  }
  return found
}

function sizes(parts: readonly PartEntry[]): Pick<LifeItem, 'storedBytes' | 'rawBytes' | 'objects'> {
  return {
    storedBytes: parts.reduce((sum, { bytes }) => sum + bytes, 0),
    rawBytes: parts.reduce((sum, part) => sum + part.raw_bytes, 0),
    objects: parts.length + 1,
  }
}

/** `20261122T100000Z-3fa9`; whoever holds a grant can also store one whose time there is not. */
function unknown(id: string): LifeItem {
  const at = new Date(id.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z.*/, '$1-$2-$3T$4:$5:$6Z'))
  return {
    ...sizes([]),
    objects: 0,
    id,
    state: 'incomplete',
    label: null,
    at: Number.isNaN(at.getTime()) ? new Date(0) : at,
    storedAt: null,
    stoppedAt: null,
    database: null,
    suspicions: [],
    place: null,
    segmentBytes: null,
  }
}
