import type { Lsn } from '../wal/lsn.js'
import { segmentName, segmentStart, type Segment } from '../wal/segment.js'
import type { TimelineSwitch } from '../wal/timeline-history.js'

/** Whole segments of one timeline without a gap: `from` up to, and without, `to`. */
export interface WalRun {
  from: Lsn
  to: Lsn
}

/** The piece of a way that lies on one timeline: whole segments from `from` up to, and without, `to`. */
export interface Leg {
  timeline: number
  from: Lsn
  /** null on the last leg: as far as there is WAL */
  to: Lsn | null
}

/** How far a way is stored. */
export interface Reach {
  /** first byte that cannot be had */
  end: Lsn
  /** timeline that the last segment before `end` is on, null when there is none */
  timeline: number | null
  /** whether WAL of the last leg was reached, so that the way's timeline can be entered */
  arrived: boolean
}

/** Joins segments, sorted by name, of one timeline into runs. Memory grows with gaps, not with segments. */
export class RunBuilder {
  readonly runs: WalRun[] = []

  constructor(readonly segmentBytes: number) {}

  add(start: Lsn): void {
    const last = this.runs.at(-1)
    const end = start + BigInt(this.segmentBytes)
    if (last?.to === start) last.to = end
    else if (!last || start > last.to) this.runs.push({ from: start, to: end })
  }
}

export const copyOf = (runs: readonly WalRun[]): WalRun[] => runs.map((run) => ({ ...run }))

/** Adds a segment that lies anywhere to runs in order. */
export function addSegment(runs: WalRun[], start: Lsn, segmentBytes: number): void {
  const end = start + BigInt(segmentBytes)
  let at = runs.findIndex((run) => run.to >= start)
  if (at < 0) at = runs.length
  const joins = runs.filter((run) => run.to >= start && run.from <= end)
  const from = joins[0] && joins[0].from < start ? joins[0].from : start
  const last = joins.at(-1)
  runs.splice(at, joins.length, { from, to: last && last.to > end ? last.to : end })
}

/**
 * The way from a backup to a timeline, or null when that timeline did not come from the backup's.
 *
 * The child's first segment repeats the parent's bytes up to the switch and goes on from there, so it stands in for the
 * parent's segment, whose later bytes never happened on this way.
 *
 * `history`: what the `.history` file of `target` says; unused when the backup is on that timeline itself.
 */
export function findWay(
  backup: { timeline: number; startLsn: Lsn; stopLsn: Lsn },
  target: number,
  history: readonly TimelineSwitch[],
  segmentBytes: number,
): Leg[] | null {
  let from = segmentStart(backup.startLsn, segmentBytes)
  if (target === backup.timeline) return [{ timeline: target, from, to: null }]
  const first = history.findIndex((one) => one.timeline === backup.timeline)
  // A backup that ended behind the switch holds pages that the target never had.
  if (first < 0 || backup.stopLsn > history[first]!.switchLsn) return null
  const legs: Leg[] = []
  for (const { timeline, switchLsn } of history.slice(first)) {
    const to = segmentStart(switchLsn, segmentBytes)
    if (to > from) legs.push({ timeline, from, to })
    from = to > from ? to : from
  }
  return [...legs, { timeline: target, from, to: null }]
}

/** Follows a way as far as its segments are stored. `runs` of a timeline are in order, as RunBuilder leaves them. */
export function followWay(way: readonly Leg[], runs: ReadonlyMap<number, readonly WalRun[]>): Reach {
  const reach: Reach = { end: way[0]!.from, timeline: null, arrived: false }
  for (const { timeline, from, to } of way) {
    const run = runs.get(timeline)?.find((one) => one.from <= from && from < one.to)
    if (!run) return reach
    reach.timeline = timeline
    reach.end = to !== null && to < run.to ? to : run.to
    if (to !== null && reach.end < to) return reach
    reach.arrived = to === null
  }
  return reach
}

/** A reach that ends at `cut`, if it goes further. */
export function cutReach(way: readonly Leg[], reach: Reach, cut: Lsn | null): Reach {
  if (cut === null || reach.end <= cut) return reach
  const last = way.findLast(({ from }) => from < cut)
  return { end: cut, timeline: last?.timeline ?? null, arrived: last !== undefined && last === way.at(-1) }
}

/** The timeline that a position of a way lies on; null when it does not lie on it. */
export function timelineAt(way: readonly Leg[], lsn: Lsn): number | null {
  return way.find(({ from, to }) => from <= lsn && (to === null || lsn < to))?.timeline ?? null
}

/** Segments of a way in order, from the one that holds `from` up to, and without, the one that begins at or after `to`. */
export function* segmentsOfWay(way: readonly Leg[], from: Lsn, to: Lsn, segmentBytes: number): Generator<Segment> {
  for (const leg of way) {
    const legEnd = leg.to !== null && leg.to < to ? leg.to : to
    const first = segmentStart(from, segmentBytes)
    let start = leg.from > first ? leg.from : first
    for (; start < legEnd; start += BigInt(segmentBytes)) yield { timeline: leg.timeline, start }
  }
}

/** The same, last one first. */
export function* segmentsOfWayBackwards(
  way: readonly Leg[],
  from: Lsn,
  to: Lsn,
  segmentBytes: number,
): Generator<Segment> {
  const first = segmentStart(from, segmentBytes)
  for (const leg of [...way].reverse()) {
    const legEnd = leg.to !== null && leg.to < to ? leg.to : to
    const begin = leg.from > first ? leg.from : first
    let start = segmentStart(legEnd - 1n, segmentBytes)
    for (; start >= begin; start -= BigInt(segmentBytes)) yield { timeline: leg.timeline, start }
  }
}

/** Segments that are not stored. */
export interface MissingSegments {
  /** the first few */
  names: string[]
  count: number
}

const NAMED_AT_MOST = 5

/** Which segments between two positions of a way are not stored. They are not gone through: there may be 2^44 of them. */
export function missingSegments(
  way: readonly Leg[],
  runs: ReadonlyMap<number, readonly WalRun[]>,
  from: Lsn,
  to: Lsn,
  segmentBytes: number,
): MissingSegments {
  const size = BigInt(segmentBytes)
  const missing: MissingSegments = { names: [], count: 0 }
  const add = (timeline: number, begin: Lsn, end: Lsn) => {
    if (end <= begin) return
    missing.count += Number((end - begin + size - 1n) / size)
    for (let start = begin; start < end && missing.names.length < NAMED_AT_MOST; start += size) {
      missing.names.push(segmentName({ timeline, start }, segmentBytes))
    }
  }
  for (const leg of way) {
    const end = leg.to !== null && leg.to < to ? leg.to : to
    const first = segmentStart(from, segmentBytes)
    let at = leg.from > first ? leg.from : first
    for (const run of runs.get(leg.timeline) ?? []) {
      add(leg.timeline, at, run.from < end ? run.from : end)
      if (run.to > at) at = run.to
    }
    add(leg.timeline, at, end)
  }
  return missing
}

/** As it stands in messages: their names, and how many more there are. */
export function formatMissing({ names, count }: MissingSegments): string {
  return names.join(', ') + (count > names.length ? ` and ${count - names.length} more` : '')
}
