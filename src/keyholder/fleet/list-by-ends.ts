import type { Home } from '../../box/key-names.js'
import { formatLsn } from '../../wal/lsn.js'
import type { Archive } from '../archive.js'
import { listDumps } from '../dumps/list-dumps.js'
import {
  listBroken,
  listSummarised,
  summariseAll,
  type ListedBackup,
  type ListedHome,
  type Summary,
} from '../list-server.js'
import { listedTimeline } from '../list-timelines.js'
import { formatTime, microsOf } from '../target.js'
import { lastVerify } from '../verify/stored-verify.js'
import { gapsOf } from './life-status.js'
import { reachAll, windowsOf, type ReachedBackup } from './life-windows.js'
import { LifeWal } from './life-wal.js'
import type { StatusWindow } from './status-report.js'

/**
 * What listHome() tells of one life of a server, by requests that grow with its backups and dumps and not with its WAL:
 * that is looked at by its ends, where there is more of a timeline than one answer of the archive names.
 */
export async function listHomeByEnds(archive: Archive, home: Home): Promise<ListedHome> {
  const summarised = await summariseAll(archive, home)
  const { found, committed, segmentBytes, pruned } = summarised
  const verified = await lastVerify(archive, home)
  const wal = await LifeWal.look(archive, home, segmentBytes, gapsOf(verified))
  // So little was seen whole, and can be looked at in earnest.
  if (wal.timelines.every(({ segments }) => !segments || segments.listed))
    return listSummarised(archive, home, summarised)
  const reached = await reachAll(committed.map(itemOf), wal)
  const windows = windowsOf(reached, wal, verified)
  return {
    server: home.server,
    system_identifier: home.systemIdentifier,
    backups: found.map((one) => (one.state === 'committed' ? listed(one, reached, windows) : listBroken(one))),
    dumps: await listDumps(archive, home, pruned),
    wal_seen: verified ? 'verified' : 'ends',
    exact: false,
    wal_gaps: gapsBetween(wal),
    timelines: await Promise.all(
      wal.timelines.map(({ timeline, segments }) => listedTimeline(wal.histories, timeline, wholeOf(segments))),
    ),
    partings: [],
    problems: wal.partings,
  }
}

function itemOf({ row, place }: Summary): ReachedBackup['item'] {
  return { id: row.backup_id, place, stoppedAt: new Date(row.stopped_at!) }
}

function listed(
  { row, place }: Summary,
  reached: readonly ReachedBackup[],
  windows: readonly StatusWindow[],
): ListedBackup {
  const reach = reached.find(({ item }) => item.id === row.backup_id)?.reach
  const window = reach && windows.find((one) => one.timeline === reach.timeline && one.to_lsn === formatLsn(reach.end))
  if (!window) {
    const problem = `WAL that it needs is not stored, from ${formatLsn(place.startLsn)} to ${formatLsn(place.stopLsn)}`
    return { ...row, state: 'wal missing', window: null, problems: [...row.problems, problem] }
  }
  const { to_at, to_lsn, timeline } = window
  const own = {
    from_at: inMicros(row.stopped_at!),
    to_at: inMicros(to_at),
    from_lsn: row.stop_lsn!,
    to_lsn,
    timeline,
  }
  return { ...row, state: 'restorable', window: own }
}

const inMicros = (at: string): string => formatTime(microsOf(new Date(at)))

function gapsBetween(wal: LifeWal): ListedHome['wal_gaps'] {
  return wal.timelines.flatMap(({ timeline, runs }) =>
    runs.slice(1).map(({ from }, at) => ({ timeline, from_lsn: formatLsn(runs[at]!.to), to_lsn: formatLsn(from) })),
  )
}

function wholeOf(segments: LifeWal['timelines'][number]['segments']): { from: bigint; to: bigint } | null {
  return segments && { from: segments.runs[0]!.from, to: segments.to }
}
