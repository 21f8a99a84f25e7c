import type { Home } from '../box/key-names.js'
import { PostboxError } from '../errors.js'
import type { Lsn } from '../wal/lsn.js'
import { parseSegmentName, segmentName, type Segment } from '../wal/segment.js'
import { parseTimelineHistory, type TimelineSwitch } from '../wal/timeline-history.js'
import { transactionEnds } from '../wal/commit-times.js'
import { lastWholeRecord } from '../wal/records.js'
import type { Archive } from './archive.js'
import { readTails, type PartialSegment } from './stored-tails.js'
import { findSegment, readHistory, readSegment, walSegments, walTimelines } from './stored-wal.js'
import {
  addSegment,
  findWay,
  followWay,
  RunBuilder,
  segmentsOfWay,
  segmentsOfWayBackwards,
  type Leg,
  type Reach,
  type WalRun,
} from './wal-chain.js'

/** A backup's way to a timeline, and how far it is stored. */
export interface Route extends Reach {
  target: number
  way: Leg[]
  runs: ReadonlyMap<number, readonly WalRun[]>
}

/** Start of a backup, as wal-chain asks for it. */
export interface BackupPlace {
  timeline: number
  startLsn: Lsn
  stopLsn: Lsn
}

/** What WAL of one server's life is stored. Asks the archive when first needed, and once. */
export class WalMap {
  /** names of segments that are stored with two contents, with the later keys */
  readonly rivals: string[] = []
  /** what is wrong with tails that were read, a sentence each */
  readonly tailProblems: string[] = []
  #timelines: Promise<number[]> | undefined
  readonly #histories = new Map<number, Promise<TimelineSwitch[] | null>>()
  readonly #runs = new Map<number, { from: Lsn; runs: Promise<WalRun[]> }>()
  readonly #tails = new Map<string, Promise<PartialSegment | null>>()
  readonly #newest = new Map<string, Promise<bigint | null>>()

  constructor(
    readonly archive: Archive,
    readonly home: Home,
    readonly segmentBytes: number,
  ) {}

  /** Timelines with WAL, ascending. */
  timelines(): Promise<number[]> {
    return (this.#timelines ??= walTimelines(this.archive, this.home))
  }

  /** Ancestors of a timeline; null when its history is not stored. */
  history(timeline: number): Promise<TimelineSwitch[] | null> {
    let history = this.#histories.get(timeline)
    if (!history) {
      history = readHistory(this.archive, this.home, timeline).then(
        (content) => content && parseTimelineHistory(content.toString('utf8')),
      )
      this.#histories.set(timeline, history)
    }
    return history
  }

  /** Runs of a timeline from `from` on; what lies before may be missing from them. */
  runs(timeline: number, from: Lsn): Promise<WalRun[]> {
    const known = this.#runs.get(timeline)
    if (known && known.from <= from) return known.runs
    const runs = this.#listRuns(timeline, from)
    this.#runs.set(timeline, { from, runs })
    return runs
  }

  /** How far a backup can be recovered on the way to `target`; null when that timeline did not come from it. */
  async route(backup: BackupPlace, target: number): Promise<Route | null> {
    const history = target === backup.timeline ? [] : await this.history(target)
    const way = history && findWay(backup, target, history, this.segmentBytes)
    if (!way) return null
    const runs = new Map<number, WalRun[]>()
    for (const leg of way) runs.set(leg.timeline, await this.runs(leg.timeline, leg.from))
    const entry = history.at(-1)?.switchLsn ?? 0n
    return { target, way, runs, ...(await this.#follow(way, runs, entry)) }
  }

  /** What is missing between the segments of a timeline, where it begins behind `after`. */
  async gaps(timeline: number, after: Lsn): Promise<WalRun[]> {
    const runs = await this.runs(timeline, 0n)
    const found: WalRun[] = []
    for (let at = runs.findIndex((run) => run.to > after); at >= 0 && at + 1 < runs.length;) {
      const { to } = runs[at]!
      const partial = await this.#tailsOf({ timeline, start: to }, runs)
      if (partial && runs[at]!.to > to) continue
      found.push({ from: partial?.end ?? to, to: runs[++at]!.from })
    }
    return found
  }

  /** Newest commit or abort on a route, read from its last segment backwards to the one that holds `from`; null when none. */
  async lastCommit(route: Route, from: Lsn): Promise<bigint | null> {
    for (const segment of segmentsOfWayBackwards(route.way, from, route.end, this.segmentBytes)) {
      const name = segmentName(segment, this.segmentBytes)
      let newest = this.#newest.get(name)
      if (!newest) this.#newest.set(name, (newest = this.#segment(name).then(newestEnd)))
      const micros = await newest
      if (micros !== null) return micros
    }
    return null
  }

  /** Whether a record begins at or behind `lsn` and is stored whole, so that recovery can see that it has got there. */
  async hasRecordAt(route: Route, lsn: Lsn): Promise<boolean> {
    for (const segment of segmentsOfWayBackwards(route.way, lsn, route.end, this.segmentBytes)) {
      const last = lastWholeRecord(await this.#segment(segmentName(segment, this.segmentBytes)))
      if (last !== null) return segment.start + BigInt(last) >= lsn
    }
    return false
  }

  /**
   * As far as segments are whole, and then by the tails of the next one.
   *
   * `entry`: where the way's timeline began. Tails that end before it are the parent's bytes alone.
   */
  async #follow(way: readonly Leg[], runs: ReadonlyMap<number, WalRun[]>, entry: Lsn): Promise<Reach> {
    for (;;) {
      const reach = followWay(way, runs)
      const [next] = segmentsOfWay(way, reach.end, reach.end + 1n, this.segmentBytes)
      const { timeline } = next!
      const partial = await this.#tailsOf(next!, runs.get(timeline)!)
      if (!partial) return reach
      if (partial.stored.length === this.segmentBytes) continue
      return { end: partial.end, timeline, arrived: timeline === way.at(-1)!.timeline && partial.end > entry }
    }
  }

  /** What there is of a segment that is not stored whole. When that is all of it, it is one of `runs` from then on. */
  async #tailsOf(segment: Segment, runs: WalRun[]): Promise<PartialSegment | null> {
    const name = segmentName(segment, this.segmentBytes)
    let tails = this.#tails.get(name)
    if (!tails) {
      const warn = (text: string) => void this.tailProblems.push(text)
      tails = readTails(this.archive, this.home, name, warn, [this.segmentBytes])
      this.#tails.set(name, tails)
    }
    const partial = await tails
    if (partial?.stored.length === this.segmentBytes) addSegment(runs, segment.start, this.segmentBytes)
    return partial
  }

  async #listRuns(timeline: number, from: Lsn): Promise<WalRun[]> {
    const builder = new RunBuilder(this.segmentBytes)
    const first = segmentName({ timeline, start: from }, this.segmentBytes)
    for await (const segment of walSegments(this.archive, this.home, timeline, first)) {
      if (segment.rivals.length > 0) this.#addRivals(segment.rivals)
      const start = startOf(segment.name, this.segmentBytes)
      if (start !== null) builder.add(start)
    }
    return builder.runs
  }

  #addRivals(keys: string[]): void {
    for (const key of keys) if (!this.rivals.includes(key)) this.rivals.push(key)
  }

  /** What is stored of a segment: all of it, or what its tails hold. */
  async #segment(name: string): Promise<Buffer> {
    const stored = await findSegment(this.archive, this.home, name)
    if (!stored) {
      const partial = await this.#tails.get(name)
      if (partial) return partial.stored
      throw new PostboxError('wal_missing', `segment ${name} has just gone from the archive`, 'Run the same again.')
    }
    return readSegment(this.archive, stored)
  }
}

/** A name that fits another segment size is none of this server's. */
function startOf(name: string, segmentBytes: number): Lsn | null {
  try {
    return parseSegmentName(name, segmentBytes).start
  } catch {
    return null
  }
}

/** Clocks of sessions differ, so the newest is not always the last. */
function newestEnd(segment: Buffer): bigint | null {
  let newest: bigint | null = null
  for (const { endedAtMicros } of transactionEnds(segment)) {
    if (newest === null || endedAtMicros > newest) newest = endedAtMicros
  }
  return newest
}
