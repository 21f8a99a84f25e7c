import type { Home } from '../box/key-names.js'
import { asPostboxError, PostboxError } from '../errors.js'
import { formatLsn } from '../wal/lsn.js'
import type { Archive } from './archive.js'
import { placeOf, type BackupPlace } from './backup-place.js'
import { listDumps, type ListedDump } from './dumps/list-dumps.js'
import { gapFloor } from './gap-floor.js'
import { isOfUnknownOrigin, listTimelines, noHistory, type ListedTimeline, type Parting } from './list-timelines.js'
import { addBrokenChain } from './manifest-chain.js'
import { PrunedManifests } from './prune/pruned-manifests.js'
import { storedLate } from './stored-late.js'
import { backups, firstSegmentBytes, type BrokenBackup, type StoredBackup } from './stored-backups.js'
import { formatTime, microsOf } from './target.js'
import { formatMissing, missingSegments } from './wal-chain.js'
import { WalMap } from './wal-map.js'
import { findRoute, type Route } from './wal-route.js'

/** Times and positions that a backup can be recovered to, without a gap. */
export interface Window {
  from_at: string
  to_at: string
  from_lsn: string
  to_lsn: string
  timeline: number
  /**
   * whether `to_at` is the last commit, which was read; else it is when the last WAL was stored, which is later, or at a gap
   * that only "postbox verify" has seen, when the last backup before it ended
   */
  exact: boolean
  /**
   * whether gaps were looked for: `listed`, every name of WAL was seen just now; `verified`, by "postbox verify --store" up
   * to `checked_to_at` (null: up to its end); `no`: only its two ends were looked at
   */
  checked: 'listed' | 'verified' | 'no'
  checked_to_at: string | null
}

/** One backup, as `postbox list --json` shows it. */
export interface ListedBackup {
  backup_id: string
  state: 'restorable' | 'wal missing' | 'incomplete' | 'damaged'
  label: string | null
  started_at: string | null
  stopped_at: string | null
  raw_bytes: number | null
  stored_bytes: number | null
  timeline: number | null
  start_lsn: string | null
  stop_lsn: string | null
  postgres_version_num: number | null
  window: Window | null
  /** what is wrong with it or looks so, a sentence each */
  problems: string[]
}

/** One life of a server, as `postbox list --json` shows it. */
export interface ListedHome {
  server: string
  system_identifier: string
  /** newest first */
  backups: ListedBackup[]
  /** logical dumps, newest first */
  dumps: ListedDump[]
  /**
   * how WAL was looked at: `listed`, every name of it; `verified`, by its ends, and for gaps by "postbox verify --store" at
   * `wal_verified_at`; `ends`: by its ends, and of some window nobody ever looked for gaps between
   */
  wal_seen: 'listed' | 'verified' | 'ends'
  /** when the newest "postbox verify --store" looked at every name; null where it was not asked for, or there is none */
  wal_verified_at: string | null
  /** whether all windows are */
  exact: boolean
  /** WAL that is missing between what is stored, from the first backup on its timeline's way on, as far as that was seen */
  wal_gaps: { timeline: number; from_lsn: string; to_lsn: string }[]
  timelines: ListedTimeline[]
  /** where two servers wrote the same WAL with other bytes */
  partings: Parting[]
  problems: string[]
  /** why it could not be listed, and all else of it is empty; else null */
  error: string | null
}

/** Everything about one life of a server that the bucket tells. */
export async function listHome(archive: Archive, home: Home): Promise<ListedHome> {
  return listSummarised(archive, home, await summariseAll(archive, home))
}

/**
 * The same, of base backups that were summarised.
 *
 * @param within so many segments are read for the last commit of a window; where it lies further back, that is not exact and
 *   ends where it begins
 * @param wal to ask, where whoever calls asks more of it
 */
export async function listSummarised(
  archive: Archive,
  home: Home,
  { found, committed, segmentBytes, pruned }: Summaries,
  within = Infinity,
  wal = new WalMap(archive, home, segmentBytes),
): Promise<ListedHome> {
  const problems: string[] = []
  // First, because it lists all WAL: every question after it is answered from that.
  const wal_gaps = await gaps(
    wal,
    committed.map(({ place }) => place),
    problems,
  )
  const listed: ListedBackup[] = []
  for (const backup of found) {
    if (backup.state === 'committed') listed.push(await listCommitted(wal, backup, within))
    else listed.push(listBroken(backup))
  }
  problems.push(...wal.problems)
  const { server, systemIdentifier: system_identifier } = home
  const dumps = await listDumps(archive, home, pruned)
  const exact = listed.every(({ window }) => window?.exact !== false)
  const seen = { wal_seen: 'listed', wal_verified_at: null, exact } as const
  const wal_names = { ...seen, wal_gaps, ...(await listTimelines(wal)) }
  return { server, system_identifier, backups: listed, dumps, ...wal_names, problems, error: null }
}

/** What stands in a list for a life whose list fails. */
export function notListed({ server, systemIdentifier }: Home, { code, message }: PostboxError): ListedHome {
  return {
    server,
    system_identifier: systemIdentifier,
    backups: [],
    dumps: [],
    wal_seen: 'ends',
    wal_verified_at: null,
    exact: false,
    wal_gaps: [],
    timelines: [],
    partings: [],
    problems: [],
    error: `${code}: ${message}`,
  }
}

/** Base backups, newest first, with what is wrong in the chain of their manifests. */
export interface Summaries {
  found: (Summary | BrokenBackup)[]
  committed: Summary[]
  /** what prune says that it deleted */
  pruned: PrunedManifests
  segmentBytes: number
}

/** Reads all manifests of base backups. */
export async function summariseAll(archive: Archive, home: Home): Promise<Summaries> {
  const pruned = new PrunedManifests(archive, home)
  const found: (Summary | BrokenBackup)[] = []
  for await (const backup of backups(archive, home)) {
    found.push(backup.state === 'committed' ? summarise(backup) : backup)
  }
  await addBrokenChain(found, pruned)
  const committed = found.filter((one) => one.state === 'committed')
  return { found, committed, pruned, segmentBytes: firstSegmentBytes(committed) ?? 16 * 1024 * 1024 }
}

/** What is kept of a backup, so that memory does not grow with its parts. */
export interface Summary {
  state: 'committed'
  place: BackupPlace
  segmentBytes: number
  /** when its manifest was, by the archive's clock */
  storedAt: Date
  sha256: string
  previous: string | null
  row: Omit<ListedBackup, 'state' | 'window'>
}

function summarise(backup: StoredBackup): Summary {
  const { manifest } = backup
  const parts = [...manifest.archives.flatMap((one) => one.parts), manifest.backup_manifest]
  const late = storedLate(backup)
  return {
    state: 'committed',
    place: placeOf(backup),
    segmentBytes: manifest.wal_segment_bytes,
    storedAt: backup.storedAt,
    sha256: backup.manifestSha256,
    previous: manifest.previous_manifest_sha256,
    row: {
      backup_id: manifest.backup_id,
      label: manifest.label,
      started_at: manifest.started_at,
      stopped_at: manifest.stopped_at,
      raw_bytes: parts.reduce((sum, part) => sum + part.raw_bytes, 0),
      stored_bytes: parts.reduce((sum, part) => sum + part.bytes, 0),
      timeline: manifest.timeline,
      start_lsn: manifest.start_lsn,
      stop_lsn: manifest.stop_lsn,
      postgres_version_num: manifest.postgres_version_num,
      problems: [...backup.suspicions, ...(late === null ? [] : [late])].map((one) => `suspicious: ${one}`),
    },
  }
}

async function listCommitted(wal: WalMap, backup: Summary, within: number): Promise<ListedBackup> {
  const { row, place } = backup
  const problems = [...row.problems]
  const route = await bestRoute(wal, place, problems)
  if (!route || route.end < place.stopLsn) {
    const missing = route && missingSegments(route.way, route.runs, place.startLsn, place.stopLsn, wal.segmentBytes)
    problems.push(`WAL that it needs is not stored: ${missing ? formatMissing(missing) : ''}`)
    return { ...row, state: 'wal missing', window: null, problems }
  }
  const from = microsOf(new Date(row.stopped_at!))
  const near = await lastCommit(wal, route, place, within, problems)
  const last = near === 'further' ? null : near
  const window: Window = {
    from_at: formatTime(from),
    to_at: formatTime(last !== null && last > from ? last : from),
    from_lsn: row.stop_lsn!,
    to_lsn: formatLsn(route.end),
    timeline: route.target,
    exact: near !== 'further',
    checked: 'listed',
    checked_to_at: null,
  }
  return { ...row, state: 'restorable', window, problems }
}

/** The route to the highest timeline that can be entered; the backup's own where there is none. */
async function bestRoute(wal: WalMap, place: BackupPlace, problems: string[]): Promise<Route | null> {
  for (const timeline of [...(await wal.timelines())].reverse()) {
    try {
      const route = await findRoute(wal, place, timeline)
      if (route?.arrived) return route
    } catch (thrown) {
      problems.push(tolerated(thrown))
    }
  }
  return findRoute(wal, place, place.timeline)
}

async function lastCommit(
  wal: WalMap,
  route: Route,
  place: BackupPlace,
  within: number,
  problems: string[],
): Promise<bigint | null | 'further'> {
  try {
    return await wal.lastCommitNear(route, place.stopLsn, within)
  } catch (thrown) {
    problems.push(tolerated(thrown))
    return null
  }
}

/** Damage is a line of the list; an archive that does not answer ends it. */
export function tolerated(thrown: unknown): string {
  const error = asPostboxError(thrown)
  const damage: PostboxError['code'][] = ['object_damaged', 'object_missing', 'wal_invalid', 'wal_missing']
  if (!damage.includes(error.code)) throw thrown
  return error.message
}

export function listBroken({ backupId, state, problem, suspicions }: BrokenBackup): ListedBackup {
  return {
    backup_id: backupId,
    state,
    label: null,
    started_at: null,
    stopped_at: null,
    raw_bytes: null,
    stored_bytes: null,
    timeline: null,
    start_lsn: null,
    stop_lsn: null,
    postgres_version_num: null,
    window: null,
    problems: [problem, ...suspicions.map((one) => `suspicious: ${one}`)],
  }
}

async function gaps(wal: WalMap, places: readonly BackupPlace[], problems: string[]): Promise<ListedHome['wal_gaps']> {
  const found: ListedHome['wal_gaps'] = []
  for (const timeline of await wal.timelines()) {
    if (await isOfUnknownOrigin(wal.histories, timeline)) problems.push(noHistory(timeline))
    const floor = await gapFloor(wal.histories, places, timeline, wal.segmentBytes)
    for (const gap of await wal.gaps(timeline, floor)) {
      found.push({ timeline, from_lsn: formatLsn(gap.from), to_lsn: formatLsn(gap.to) })
    }
  }
  return found
}
