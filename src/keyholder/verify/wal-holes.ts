import type { Lsn } from '../../wal/lsn.js'
import { segmentStart } from '../../wal/segment.js'
import { damageAsNull } from '../damage.js'
import { findWay, followWay, timelineAt, type Leg, type WalRun } from '../wal-chain.js'
import type { WalMap } from '../wal-map.js'
import { findRoute, type Route } from '../wal-route.js'
import type { PrunedManifests } from '../prune/pruned-manifests.js'
import type { RatedBackup } from './rated-backup.js'

/** A place at which the recovery of a backup ends although WAL is stored behind it. */
export interface Hole {
  timeline: number
  /** first byte that cannot be had */
  from: Lsn
  /** where WAL goes on; the same where that does not go on from what is in front of it */
  to: Lsn
  /** whether what lies behind may still be on its way here */
  isFresh: boolean
}

/** Tails of a segment that is not stored whole. */
export interface UnfinishedSegment {
  timeline: number
  start: Lsn
  /** when the first of its tails was */
  storedAt: Date
}

/** So long a segment may be on its way while tails of the next one are stored. */
const ON_ITS_WAY_MS = 3_600_000

interface Way {
  target: number
  legs: Leg[]
}

/**
 * What the backups of one life of a server promise: each that can be restored reaches to the end of all WAL that goes on
 * from it, or a later one stands in for it behind a hole.
 */
export class Windows {
  /** of those that can be restored */
  readonly #ways = new Map<RatedBackup, Way[]>()
  /** whole segments, by timeline */
  readonly #runs = new Map<number, readonly WalRun[]>()

  private constructor(
    readonly wal: WalMap,
    readonly backups: readonly RatedBackup[],
    readonly unfinished: readonly UnfinishedSegment[],
    readonly pruned: PrunedManifests,
  ) {}

  static async of(
    wal: WalMap,
    backups: readonly RatedBackup[],
    unfinished: readonly UnfinishedSegment[],
    pruned: PrunedManifests,
  ): Promise<Windows> {
    const windows = new Windows(wal, backups, unfinished, pruned)
    for (const timeline of await wal.timelines()) windows.#runs.set(timeline, (await wal.wal(timeline, 0n)).runs)
    for (const backup of backups) if (backup.isRestorable) windows.#ways.set(backup, await waysOf(wal, backup))
    return windows
  }

  /** Holes behind which no later backup begins, each once. */
  async open(now: Date): Promise<Hole[]> {
    const found = new Map<string, Hole>()
    for (const [backup, ways] of this.#ways) {
      for (const { target, legs } of ways) {
        // What is damaged on the way is said elsewhere.
        const route = await findRoute(this.wal, backup.place, target).catch(damageAsNull)
        const hole = route && (await this.#holeBehind(route, now))
        if (!hole || (await this.#isHealed(backup, legs, hole))) continue
        const place = `${hole.timeline}/${hole.from}`
        const known = found.get(place)
        if (!known || (known.isFresh && !hole.isFresh) || hole.to < known.to) found.set(place, hole)
      }
    }
    return [...found.values()]
  }

  /** Whether a backup needs this WAL, and no later one begins behind it. */
  async isNeeded(timeline: number, from: Lsn, to: Lsn): Promise<boolean> {
    const hole = { timeline, from, to, isFresh: false }
    for (const [backup, ways] of this.#ways) {
      if (backup.place.startLsn > from) continue
      for (const { legs } of ways) {
        const isOnWay = timelineAt(legs, segmentStart(from, this.wal.segmentBytes)) === timeline
        if (isOnWay && !(await this.#isHealed(backup, legs, hole))) return true
      }
    }
    return false
  }

  async #holeBehind({ way, runs, joined, end }: Route, now: Date): Promise<Hole | null> {
    const segment = BigInt(this.wal.segmentBytes)
    const whole = wholeBehind(way, runs, end)
    const tails = this.unfinished.filter(({ timeline, start }) => start > end && timelineAt(way, start) === timeline)
    const [first] = [...tails].sort((a, b) => (a.start < b.start ? -1 : 1))
    const to = first && (whole === null || first.start + segment <= whole) ? first.start : whole
    if (to === null) return null
    const at = segmentStart(end, this.wal.segmentBytes)
    if (to === end && (await this.#isParting(way, at, joined.get(at - segment)?.mark))) return null
    const isFresh = whole === null && now.getTime() - first!.storedAt.getTime() < ON_ITS_WAY_MS
    return { timeline: timelineAt(way, at) ?? way[0]!.timeline, from: end, to, isFresh }
  }

  /** Whether a stored segment is not taken because another server wrote it, whose WAL in front is stored too. */
  async #isParting(way: readonly Leg[], at: Lsn, joinedMark: string | undefined): Promise<boolean> {
    const timeline = timelineAt(way, at)
    const front = at - BigInt(this.wal.segmentBytes)
    // The first segment of a timeline says by its history what it follows, and two servers may have begun it.
    if (timeline === null || timelineAt(way, front) !== timeline) return true
    const histories = timeline === 1 ? null : await this.wal.histories.of(timeline).catch(damageAsNull)
    if (histories && histories.keys.length > 1) return true
    const whole = (await this.wal.contentsOf({ timeline, start: front })).map(({ mark }) => mark)
    const marks = new Set(joinedMark === undefined ? whole : [...whole, joinedMark])
    const contents = await this.wal.contentsOf({ timeline, start: at })
    return contents.some(({ previous }) => previous === null || marks.has(previous))
  }

  async #isHealed(backup: RatedBackup, legs: readonly Leg[], hole: Hole): Promise<boolean> {
    for (const one of this.backups) {
      const { timeline, startLsn } = one.place
      const isLater = one !== backup && startLsn >= hole.from && one.stoppedAt >= backup.stoppedAt
      if (!isLater || !one.isRestorable || (one.isDoubtful && !backup.isDoubtful)) continue
      if (timelineAt(legs, segmentStart(startLsn, this.wal.segmentBytes)) !== timeline) continue
      if (this.#goesOnTo(legs, hole.to, startLsn)) return true
      if ((await this.#isLinked(one, backup)) && !(await this.#isOvertaken(one))) return true
    }
    return false
  }

  /** Whether WAL of a backup's timeline in front of a gap before it was stored long after it: then it lies where no WAL was. */
  async #isOvertaken({ place: { timeline, startLsn }, storedAt }: RatedBackup): Promise<boolean> {
    const run = this.#runs.get(timeline)?.findLast(({ to }) => to <= segmentStart(startLsn, this.wal.segmentBytes))
    if (!run) return false
    const [last] = await this.wal.contentsOf({ timeline, start: run.to - BigInt(this.wal.segmentBytes) })
    return last !== undefined && last.object.storedAt.getTime() > storedAt.getTime() + ON_ITS_WAY_MS
  }

  /** Whether all WAL between two positions of a way is stored whole. */
  #goesOnTo(legs: readonly Leg[], from: Lsn, to: Lsn): boolean {
    const start = segmentStart(from, this.wal.segmentBytes)
    const rest = legs.flatMap((leg) => {
      if (leg.to !== null && leg.to <= start) return []
      return [{ ...leg, from: leg.from > start ? leg.from : start }]
    })
    return rest.length > 0 && followWay(rest, this.#runs).end > to
  }

  /** Whether manifests lead from one backup back to another, or to what prune deleted: whoever forges one must know them. */
  async #isLinked(backup: RatedBackup, to: RatedBackup): Promise<boolean> {
    const bySum = new Map(this.backups.map((one) => [one.sha256, one]))
    const seen = new Set<RatedBackup>()
    for (let at: RatedBackup | undefined = backup; at && !seen.has(at);) {
      if (at === to || (at.stoppedAt < to.stoppedAt && (to.isDoubtful || !at.isDoubtful))) return true
      seen.add(at)
      const previous: string | null = at.previous
      at = previous === null ? undefined : bySum.get(previous)
      if (previous !== null && !at) return (await this.pruned.unexplained([previous.slice(0, 12)])).size === 0
    }
    return false
  }
}

/** The ways from a backup to each timeline that came from its own. */
async function waysOf(wal: WalMap, { place }: RatedBackup): Promise<Way[]> {
  const ways: Way[] = []
  for (const target of await wal.timelines()) {
    const isOwn = target === place.timeline
    const history = isOwn ? null : await wal.histories.of(target).catch(damageAsNull)
    if (!isOwn && !history) continue
    const legs = findWay(place, target, history?.switches ?? [], wal.segmentBytes)
    if (legs) ways.push({ target, legs })
  }
  return ways
}

/** Where whole segments of a way go on at or behind a position; null where they do not. */
function wholeBehind(way: readonly Leg[], runs: ReadonlyMap<number, readonly WalRun[]>, at: Lsn): Lsn | null {
  for (const { timeline, from, to } of way) {
    if (to !== null && to <= at) continue
    const low = from > at ? from : at
    const run = runs.get(timeline)?.find((one) => one.to > low && (to === null || one.from < to))
    if (run) return run.from > low ? run.from : low
  }
  return null
}
