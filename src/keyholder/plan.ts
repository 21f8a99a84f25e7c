import type { Home } from '../box/key-names.js'
import type { Lsn } from '../wal/lsn.js'
import { segmentName } from '../wal/segment.js'
import type { Archive } from './archive.js'
import { BackupSearch } from './backup-search.js'
import { chooseHome } from './choose-home.js'
import type { Follow } from './follow.js'
import { checkReachable } from './reachable.js'
import type { StoredBackup } from './stored-backups.js'
import type { Target, TargetTimeline } from './target.js'
import { WalChoice } from './wal-choice.js'
import type { WalMap } from './wal-map.js'
import type { Route } from './wal-route.js'

/** What a person wants restored. */
export interface RestoreRequest {
  server: string
  /** null: the one with the newest backup */
  systemIdentifier: string | null
  /** null: the newest that can reach the target */
  backupId: string | null
  target: Target
  /** whether the target itself is still applied */
  inclusive: boolean
  timeline: TargetTimeline
  /** whose WAL to follow where two servers wrote the same, if not that which was stored first */
  follow?: Follow | null
}

/** How it will be done. */
export interface RestorePlan {
  home: Home
  backup: StoredBackup
  /** as asked for, or `latest` where that is the same and can be seen to be reached */
  target: Target
  inclusive: boolean
  /** timeline that recovery follows */
  timeline: number
  /** end of the stored WAL that can be reached without a gap */
  reachableLsn: Lsn
  /** newest commit in it, in microseconds from 1970; null when there is none after the backup, or nobody looked */
  lastCommitMicros: bigint | null
  /** which WAL to take, where two servers wrote the same; null elsewhere */
  choice: WalChoice | null
  notes: string[]
}

/**
 * Picks the newest backup that can reach the target, and proves that the WAL to get there is stored.
 *
 * Postgres ends recovery with an error, hours later, when its target never comes; so it is refused here:
 * `backup_missing`, `wal_missing` naming the segments, `target_unreachable` naming what can be reached.
 */
export async function planRestore(archive: Archive, request: RestoreRequest): Promise<RestorePlan> {
  const { server, systemIdentifier, backupId } = request
  const { home, others, notes } = await chooseHome(archive, server, systemIdentifier, backupId, request.target)
  const search = new BackupSearch(archive, home, request, notes, others)
  const found = await search.run()
  if (!found) throw await search.failure()
  const { backup, wal, route } = found
  const end = await checkReachable(wal, route, backup.manifest, request, notes)
  notes.push(...route.notes, ...wal.problems)
  const { target, lastCommitMicros } = end
  const { inclusive } = request
  const { target: timeline } = route
  const reached = request.target.kind === 'latest' ? null : inFrontOfDamage(wal, route)
  const { reachableLsn, choice } = reached ?? { reachableLsn: route.end, choice: route.choice }
  return { home, backup, target, inclusive, timeline, reachableLsn, lastCommitMicros, choice, notes }
}

/**
 * Where damage was seen, recovery is to end in front of it: Postgres reads ahead of its target, and ends with an error at what
 * cannot be had. Should the target lie behind after all, it says so. Null where none was seen.
 */
function inFrontOfDamage(wal: WalMap, route: Route): Pick<RestorePlan, 'reachableLsn' | 'choice'> | null {
  const damaged = wal.damagedOn(route)
  if (!damaged) return null
  const end = { timeline: damaged.timeline, start: damaged.start - BigInt(wal.segmentBytes) }
  const choice = WalChoice.endingWith(segmentName(end, wal.segmentBytes), route.choice)
  return { reachableLsn: damaged.start, choice }
}
