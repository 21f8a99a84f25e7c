import { partsOfDump } from '../../box/dump-manifest.js'
import { parseManifestName, type Home } from '../../box/key-names.js'
import type { Archive } from '../archive.js'
import type { PrunedManifests } from '../prune/pruned-manifests.js'
import { dumps, type BrokenDump, type StoredDump } from './stored-dumps.js'

/** One logical dump, as `postbox list --json` shows it. What only a manifest tells is null without one. */
export interface ListedDump {
  dump_id: string
  state: 'restorable' | 'incomplete' | 'damaged'
  label: string | null
  database: string | null
  /** what the dump shows was committed before */
  snapshot_at: string | null
  snapshot_lsn: string | null
  timeline: number | null
  /** all of the database: nothing was to be left out, filtered or masked; what could not be taken, `warnings` name */
  whole: boolean | null
  /** columns hold something else than the database did */
  masked: boolean | null
  tables: number | null
  rows: number | null
  raw_bytes: number | null
  stored_bytes: number | null
  postgres_version_num: number | null
  /** what pg_dump warned of, and what a masked dump left out */
  warnings: string[]
  /** what is wrong with it or looks so, a sentence each */
  problems: string[]
}

/** How it is said of a dump that the one before it is not there any more, and prune does not say that it deleted it. */
export const DUMP_GONE = 'the dump before it is gone: '

/** Every dump of a server's life, newest first. */
export async function listDumps(archive: Archive, home: Home, pruned: PrunedManifests): Promise<ListedDump[]> {
  const listed: ListedDump[] = []
  const manifests = new Set<string>()
  const names: { row: ListedDump; previous: string }[] = []
  for await (const dump of dumps(archive, home)) {
    const row = dump.state === 'committed' ? listCommitted(dump) : listBroken(dump)
    listed.push(row)
    if (dump.state !== 'committed') continue
    manifests.add(dump.manifestKey)
    const { previous_manifest: previous } = dump.manifest
    if (previous !== null) names.push({ row, previous })
  }
  // What the oldest names may have been deleted by a rule of the bucket.
  const gone = names
    .filter(({ row, previous }) => row !== listed.at(-1) && !manifests.has(previous))
    .map((one) => ({ ...one, mark: parseManifestName(one.previous.split('/').at(-1)!) }))
  const missing = await pruned.unexplained(gone.flatMap(({ mark }) => mark ?? []))
  for (const { row, previous, mark } of gone) {
    if (mark !== null && !missing.has(mark)) continue
    row.problems.push(`${DUMP_GONE}${previous} was removed`)
  }
  return listed
}

function listCommitted({ manifest, suspicions }: StoredDump): ListedDump {
  const parts = partsOfDump(manifest)
  return {
    dump_id: manifest.dump_id,
    state: 'restorable',
    label: manifest.label,
    database: manifest.database,
    snapshot_at: manifest.snapshot_at,
    snapshot_lsn: manifest.snapshot_lsn,
    timeline: manifest.timeline,
    whole: manifest.whole,
    masked: manifest.masked,
    tables: manifest.tables.length,
    rows: manifest.tables.reduce((sum, { rows }) => sum + rows, 0),
    raw_bytes: parts.reduce((sum, { raw_bytes }) => sum + raw_bytes, 0),
    stored_bytes: parts.reduce((sum, { bytes }) => sum + bytes, 0),
    postgres_version_num: manifest.postgres_version_num,
    warnings: manifest.warnings,
    problems: suspicions.map((one) => `suspicious: ${one}`),
  }
}

function listBroken({ dumpId, state, problem, suspicions }: BrokenDump): ListedDump {
  return {
    dump_id: dumpId,
    state,
    label: null,
    database: null,
    snapshot_at: null,
    snapshot_lsn: null,
    timeline: null,
    whole: null,
    masked: null,
    tables: null,
    rows: null,
    raw_bytes: null,
    stored_bytes: null,
    postgres_version_num: null,
    warnings: [],
    problems: [problem, ...suspicions.map((one) => `suspicious: ${one}`)],
  }
}
