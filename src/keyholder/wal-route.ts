import { formatLsn, type Lsn } from '../wal/lsn.js'
import { parseSegmentName, segmentName, type Segment } from '../wal/segment.js'
import type { BackupPlace } from './backup-place.js'
import { endOfLeftTimeline, type Front, type TimelineEnd } from './left-timeline.js'
import type { PartialSegment, Tails } from './stored-tails.js'
import {
  addSegment,
  copyOf,
  cutReach,
  findWay,
  followWay,
  segmentsOfWay,
  timelineAt,
  type Leg,
  type Reach,
  type WalRun,
} from './wal-chain.js'
import { WalChoice } from './wal-choice.js'
import { follows, type ForkedSegment } from './wal-forks.js'
import type { WalMap } from './wal-map.js'
import { choosePath, leadsThrough, type Path, type PathQuestion, type Waypoint } from './wal-path.js'

/** A backup's way to a timeline, and how far it is stored. */
export interface Route extends Reach {
  target: number
  way: Leg[]
  runs: ReadonlyMap<number, readonly WalRun[]>
  /** segments that are joined from their tails, by start */
  joined: ReadonlyMap<Lsn, PartialSegment>
  /** Mark of the content that is taken where there is a choice; null elsewhere. */
  markAt: (start: Lsn) => string | null
  /** what fetch-wal must be told; null where nobody else's WAL is in the way */
  choice: WalChoice | null
  /** where two servers' WAL parts, and which of them is followed */
  notes: string[]
}

/**
 * How far a backup can be recovered on the way to `target`.
 *
 * Null when that timeline did not come from the backup, or the WAL on the way is another server's than the backup's, or
 * than that which is to be followed.
 */
export async function findRoute(wal: WalMap, backup: BackupPlace, target: number): Promise<Route | null> {
  const history = target === backup.timeline ? null : await wal.histories.of(target)
  if (target !== backup.timeline && !history) return null
  const way = findWay(backup, target, history?.switches ?? [], wal.segmentBytes)
  if (!way) return null
  const follower = new Follower(wal, backup, way, target)
  await follower.open()
  return follower.run(history?.switches.at(-1)?.switchLsn ?? 0n)
}

class Follower {
  readonly #runs = new Map<number, WalRun[]>()
  readonly #forked = new Map<number, ReadonlyMap<Lsn, ForkedSegment>>()
  readonly #joined = new Map<Lsn, PartialSegment>()
  #end: TimelineEnd | null = null
  #question!: PathQuestion

  constructor(
    readonly wal: WalMap,
    readonly backup: BackupPlace,
    readonly way: Leg[],
    readonly target: number,
  ) {}

  async open(): Promise<void> {
    const { wal, way, target } = this
    for (const { timeline, from } of way) {
      const { runs, forked } = await wal.wal(timeline, from)
      this.#runs.set(timeline, copyOf(runs))
      this.#forked.set(timeline, forked)
    }
    this.#question = {
      way,
      segmentBytes: wal.segmentBytes,
      forked: this.#forked,
      starts: target === 1 ? new Map() : await wal.histories.starts(target, wal.segmentBytes),
      waypoints: this.#waypoints(),
      stopAt: this.#tailToFollow()?.start ?? null,
      joined: this.#joined,
      markOf: (segment) => wal.markOf(segment),
    }
  }

  /** As far as segments are whole, and then by the tails of the next one. `entry`: where the way's timeline began. */
  async run(entry: Lsn): Promise<Route | null> {
    const { wal, way } = this
    for (;;) {
      const path = await choosePath(this.#question)
      if (!(await this.#isWanted(path))) return null
      const reach = cutReach(way, followWay(way, this.#runs), path.cut)
      const [next] = segmentsOfWay(way, reach.end, reach.end + 1n, wal.segmentBytes)
      const tails = await this.#tailsOf(next!, path)
      const partial = (await this.#endOfTimeline(next!, path, tails)) ?? tails.partial
      if (!partial) return this.#route(reach, path, tails)
      this.#joined.set(next!.start, partial)
      if (partial.stored.length === wal.segmentBytes && path.cut === null) {
        addSegment(this.#runs.get(next!.timeline)!, next!.start, wal.segmentBytes)
        continue
      }
      // Tails that end before the timeline began are its parent's bytes alone.
      const arrived = next!.timeline === way.at(-1)!.timeline && partial.end > entry
      return this.#route({ end: partial.end, timeline: next!.timeline, arrived }, path, tails)
    }
  }

  /** What the path is to lead to: what a person follows, then the backup's last segment. */
  #waypoints(): Waypoint[] {
    const { follow, segmentBytes } = this.wal
    const waypoints: Waypoint[] = []
    if (follow && follow.what.kind !== 'history') {
      const segment = parseSegmentName(follow.what.name, segmentBytes)
      const { kind, previous } = follow.what
      if (kind === 'segment') waypoints.push({ segment, mark: follow.mark })
      const front = { ...segment, start: segment.start - BigInt(segmentBytes) }
      if (kind === 'tail' && previous !== null) waypoints.push({ segment: front, mark: previous })
    }
    const stop = this.#stop()
    return stop ? [...waypoints, stop] : waypoints
  }

  /** The backup's last segment; null where the next timeline's takes its place. */
  #stop(): Waypoint | null {
    const stop = this.backup.stopSegment
    return stop && timelineAt(this.way, stop.segment.start) === stop.segment.timeline ? stop : null
  }

  /** The segment that is to be taken from tails because a person follows one of them. */
  #tailToFollow(): Segment | null {
    const { follow, segmentBytes } = this.wal
    return follow?.what.kind === 'tail' ? parseSegmentName(follow.what.name, segmentBytes) : null
  }

  /** Whether the path is that of the backup, and of the object that a person follows. */
  async #isWanted(path: Path): Promise<boolean> {
    const what = this.wal.follow?.what
    if (what?.kind === 'history') {
      if (this.#question.starts.get(what.timeline)?.historyMark !== this.wal.follow!.mark) return false
    }
    if (what?.kind === 'segment' && !(await leadsThrough(this.#waypoints()[0]!, path, this.#question))) return false
    const tail = this.#tailToFollow()
    if (tail && what?.kind === 'tail') {
      if (timelineAt(this.way, tail.start) !== tail.timeline) return false
      const { before, historyMark } = await this.#frontOf(tail, path)
      if (follows(what.previous, before, historyMark) === false) return false
    }
    // Where nobody else wrote it, it is either the backup's or missing.
    const stop = this.#stop()
    const taken = stop && path.chosen.get(stop.segment.start)
    return !taken || taken.mark === stop.mark
  }

  /** Tails that go on from the path, in the segment where whole ones end. */
  async #tailsOf(segment: Segment, path: Path): Promise<Tails> {
    const wanted = this.#tailToFollow()?.start === segment.start ? this.wal.follow!.mark : null
    return this.wal.tails(segment, await this.#frontOf(segment, path), wanted)
  }

  /** The last segment of the way's timeline, where that was left and the next one has more of it. */
  async #endOfTimeline(segment: Segment, path: Path, { partial }: Tails): Promise<PartialSegment | null> {
    if (path.cut !== null || segment.timeline !== this.target) return null
    const { before } = await this.#frontOf(segment, path)
    this.#end = await endOfLeftTimeline(this.wal, segment, before, partial)
    return this.#end?.partial ?? null
  }

  /** What lies in front of a segment on the path, as follows() takes it. */
  async #frontOf(segment: Segment, path: Path): Promise<Front> {
    const begin = this.#question.starts.get(segment.timeline)
    const isFirst = begin?.start === segment.start
    const start = segment.start - BigInt(this.wal.segmentBytes)
    const timeline = isFirst ? begin.parent : (timelineAt(this.way, start) ?? segment.timeline)
    const known = path.chosen.get(start) ?? this.#joined.get(start)
    const before = known?.mark ?? (await this.wal.markOf({ timeline, start }))
    return { before, historyMark: isFirst ? begin.historyMark : null }
  }

  async #route(reach: Reach, path: Path, tails: Tails): Promise<Route> {
    const { way, target } = this
    const markAt = (start: Lsn) => path.chosen.get(start)?.mark ?? this.#joined.get(start)?.mark ?? null
    const choice = await this.#choice(reach, path, tails)
    const notes = [...path.notes, ...(await this.#historyNotes())]
    if (this.#end)
      notes.push(`timeline ${target} was left at ${formatLsn(reach.end)}; its end is taken from ${this.#end.from}`)
    return { ...reach, target, way, runs: this.#runs, joined: this.#joined, markAt, choice, notes }
  }

  async #choice(reach: Reach, path: Path, { parted }: Tails): Promise<WalChoice | null> {
    const histories: Record<string, string> = {}
    for (const [timeline, { historyMark }] of this.#question.starts) {
      if ((await this.wal.histories.of(timeline))!.keys.length > 1) histories[timeline] = historyMark
    }
    const end = this.#end
    const segments: Record<string, string> = end?.isWhole ? { [end.from]: end.mark } : {}
    for (const [start, { name, mark }] of path.chosen) {
      const timeline = timelineAt(this.way, start)!
      if (this.#forked.get(timeline)!.get(start)!.contents.length > 1) segments[name] = mark
    }
    const alone = Object.keys({ ...histories, ...segments }).length === 0 && path.cut === null && !parted && !end
    if (alone || reach.end <= this.way[0]!.from) return null
    const nameAt = (lsn: Lsn) =>
      segmentName(
        { timeline: timelineAt(this.way, lsn)!, start: lsn - (lsn % BigInt(this.wal.segmentBytes)) },
        this.wal.segmentBytes,
      )
    const tails: Record<string, string> = end && !end.isWhole ? { [end.from]: end.mark } : {}
    for (const [start, partial] of this.#joined) if (partial !== end?.partial) tails[nameAt(start)] = partial.mark
    const last = nameAt(reach.end - 1n)
    const beginnings = end ? { [last]: { of: end.from, up_to: formatLsn(reach.end) } } : {}
    return new WalChoice({ histories, segments, tails, beginnings, end: last })
  }

  async #historyNotes(): Promise<string[]> {
    const notes: string[] = []
    for (const timeline of this.#question.starts.keys()) {
      const [followed, ...others] = (await this.wal.histories.of(timeline))!.keys
      if (others.length === 0) continue
      notes.push(
        `two servers were promoted to timeline ${timeline}: ${followed!} is followed, and not ${others.join(', ')} ` +
          '(choose by --follow KEY)',
      )
    }
    return notes
  }
}
