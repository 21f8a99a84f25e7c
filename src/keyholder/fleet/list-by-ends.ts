import type { Home } from '../../box/key-names.js'
import { formatLsn } from '../../wal/lsn.js'
import type { Archive } from '../archive.js'
import type { BackupPlace } from '../backup-place.js'
import { listDumps } from '../dumps/list-dumps.js'
import { gapFloor } from '../gap-floor.js'
import {
  listBroken,
  listSummarised,
  summariseAll,
  tolerated,
  type ListedBackup,
  type ListedHome,
  type Summary,
  type Window,
} from '../list-server.js'
import { isOfUnknownOrigin, listedTimeline, noHistory, partingOfHistory, withAncestors } from '../list-timelines.js'
import { formatTime, microsOf } from '../target.js'
import { lastVerify, type VerifyResult } from '../verify/stored-verify.js'
import { gapsOf } from './life-status.js'
import { reachAll, windowsOf, type ReachedBackup } from './life-windows.js'
import { LifeWal } from './life-wal.js'
import type { StatusWindow } from './status-report.js'

/** So many segments are read for the last commit of a window, and so many tails for where it ends. */
const READ_SEGMENTS = 4
const READ_TAILS = 64

/**
 * What listHome() tells of one life of a server, by requests that grow with its backups and dumps and not with its WAL:
 * that is looked at by its ends, where there is more of a timeline than one answer of the archive names.
 */
export async function listHomeByEnds(archive: Archive, home: Home): Promise<ListedHome> {
  const summarised = await summariseAll(archive, home)
  const { found, committed, segmentBytes, pruned } = summarised
  const verified = await lastVerify(archive, home)
  const wal = await LifeWal.look(archive, home, segmentBytes, gapsOf(verified), false)
  // So little was seen whole, and can be looked at in earnest.
  const listed = isLittle(wal) ? await listSummarised(archive, home, summarised, READ_SEGMENTS) : null
  if (listed?.exact) return listed
  const windows = new WindowsByEnds(await reachAll(committed.map(itemOf), wal), wal, verified)
  if (listed) return { ...listed, backups: listed.backups.map((one) => windows.end(one)) }
  const backups = found.map((one) => (one.state === 'committed' ? windows.list(one) : listBroken(one)))
  return {
    server: home.server,
    system_identifier: home.systemIdentifier,
    backups,
    dumps: await listDumps(archive, home, pruned),
    wal_seen: seenOf(backups, verified),
    wal_verified_at: verified?.verified_at ?? null,
    exact: false,
    wal_gaps: await gapsBetween(
      wal,
      committed.map(({ place }) => place),
    ),
    ...(await timelinesOf(wal)),
    error: null,
  }
}

function isLittle({ timelines }: LifeWal): boolean {
  const tails = timelines.reduce((sum, one) => sum + (one.tails?.behind ?? 0), 0)
  return tails <= READ_TAILS && timelines.every(({ segments }) => !segments || segments.listed)
}

function itemOf({ row, place }: Summary): ReachedBackup['item'] {
  return { id: row.backup_id, place, stoppedAt: new Date(row.stopped_at!) }
}

class WindowsByEnds {
  readonly #windows: readonly StatusWindow[]

  constructor(
    readonly reached: readonly ReachedBackup[],
    wal: LifeWal,
    verified: VerifyResult | null,
  ) {
    this.#windows = windowsOf(reached, wal, verified)
  }

  /** A backup with its window. */
  list({ row, place }: Summary): ListedBackup {
    const window = this.#of(row.backup_id)
    if (!window) {
      const problem = `WAL that it needs is not stored, from ${formatLsn(place.startLsn)} to ${formatLsn(place.stopLsn)}`
      return { ...row, state: 'wal missing', window: null, problems: [...row.problems, problem] }
    }
    const { to_at, to_lsn, timeline, checked, checked_to_at } = window
    const from = { from_at: inMicros(row.stopped_at!), from_lsn: row.stop_lsn! }
    const own: Window = { ...from, to_at: inMicros(to_at), to_lsn, timeline, exact: false, checked, checked_to_at }
    return { ...row, state: 'restorable', window: own }
  }

  /** A backup whose window was listed, with when that ends where its last commit was not read. */
  end(listed: ListedBackup): ListedBackup {
    const seen = listed.window?.exact === false ? this.#of(listed.backup_id) : null
    return seen ? { ...listed, window: { ...listed.window!, to_at: inMicros(seen.to_at) } } : listed
  }

  #of(backupId: string): StatusWindow | null {
    const reach = this.reached.find(({ item }) => item.id === backupId)?.reach
    if (!reach) return null
    const end = formatLsn(reach.end)
    return this.#windows.find(({ timeline, to_lsn }) => timeline === reach.timeline && to_lsn === end) ?? null
  }
}

const inMicros = (at: string): string => formatTime(microsOf(new Date(at)))

/** As the window that least is known of. */
function seenOf(backups: readonly ListedBackup[], verified: VerifyResult | null): ListedHome['wal_seen'] {
  const checked = backups.flatMap(({ window }) => (window ? [window.checked] : []))
  if (checked.includes('no')) return 'ends'
  if (checked.length > 0 && !checked.includes('verified')) return 'listed'
  return verified ? 'verified' : 'ends'
}

/** What is missing behind the first backup that leads there, as far as it was seen. */
async function gapsBetween(
  { timelines, histories, segmentBytes }: LifeWal,
  backups: readonly BackupPlace[],
): Promise<ListedHome['wal_gaps']> {
  const found: ListedHome['wal_gaps'] = []
  for (const { timeline, runs } of timelines) {
    const floor = await gapFloor(histories, backups, timeline, segmentBytes)
    for (const [at, next] of runs.slice(1).entries()) {
      const from = runs[at]!.to
      if (from > floor) found.push({ timeline, from_lsn: formatLsn(from), to_lsn: formatLsn(next.from) })
    }
  }
  return found
}

async function timelinesOf(wal: LifeWal): Promise<Pick<ListedHome, 'timelines' | 'partings' | 'problems'>> {
  const { histories } = wal
  const found: Pick<ListedHome, 'timelines' | 'partings' | 'problems'> = { timelines: [], partings: [], problems: [] }
  const extents = new Map(wal.timelines.map((one) => [one.timeline, one.segments]))
  for (const timeline of await withAncestors(histories, [...extents.keys()])) {
    const segments = extents.get(timeline)
    const whole = segments ? { from: segments.runs[0]!.from, to: segments.to } : null
    found.timelines.push(await listedTimeline(histories, timeline, whole))
    found.partings.push(...(await partingOfHistory(histories, timeline)))
    if (!extents.has(timeline)) continue
    if (await isOfUnknownOrigin(histories, timeline)) found.problems.push(noHistory(timeline))
    else if (timeline > 1) found.problems.push(...(await damageOf(histories, timeline)))
  }
  found.problems.push(...wal.partings)
  return found
}

async function damageOf(histories: LifeWal['histories'], timeline: number): Promise<string[]> {
  return histories.of(timeline).then(
    () => [],
    (thrown: unknown) => [tolerated(thrown)],
  )
}
