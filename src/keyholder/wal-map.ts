import type { Home } from '../box/key-names.js'
import { PostboxError } from '../errors.js'
import type { Lsn } from '../wal/lsn.js'
import { parseSegmentName, segmentName, type Segment } from '../wal/segment.js'
import { transactionEnds } from '../wal/commit-times.js'
import { checkSegment } from '../wal/page.js'
import { lastWholeRecord } from '../wal/records.js'
import type { Archive } from './archive.js'
import { damageAsNull } from './damage.js'
import type { Follow } from './follow.js'
import type { Front } from './left-timeline.js'
import { readTails, type Tails } from './stored-tails.js'
import {
  findSegment,
  readSegment,
  walSegments,
  walTimelines,
  type SegmentContents,
  type StoredSegment,
} from './stored-wal.js'
import { microsOf } from './target.js'
import { TimelineHistories } from './timeline-histories.js'
import { addSegment, copyOf, RunBuilder, segmentsOfWayBackwards, timelineAt, type WalRun } from './wal-chain.js'
import { follows, ForkFinder, type ForkedSegment } from './wal-forks.js'
import type { Route } from './wal-route.js'

/** What a timeline holds in whole segments. */
export interface TimelineWal {
  runs: WalRun[]
  /** by start: what cannot be taken for granted */
  forked: ReadonlyMap<Lsn, ForkedSegment>
}

/** How far the clocks of a server and of its archive may lie apart. */
const CLOCKS_MICROS = 3_600_000_000n

/** Of damaged segments at the end, that are read to show a last commit; what a restore needs is looked for behind any number. */
const DAMAGED_AT_MOST = 8
/** Whoever holds a grant can post what causes any number. */
const PROBLEMS_AT_MOST = 200

/** What WAL of one server's life is stored. Asks the archive when first needed, and once. */
export class WalMap {
  /** what is wrong with WAL that was read, a sentence each */
  readonly problems: string[] = []
  readonly histories: TimelineHistories
  #timelines: Promise<number[]> | undefined
  readonly #wal = new Map<number, { from: Lsn; wal: Promise<TimelineWal> }>()
  readonly #contents = new Map<string, Promise<SegmentContents>>()
  readonly #tails = new Map<string, Promise<Tails>>()
  readonly #newest = new Map<string, Promise<bigint | null>>()
  readonly #damaged: { segment: Segment; mark: string | null }[] = []

  /** @param follow whose WAL to follow, where a person says so */
  constructor(
    readonly archive: Archive,
    readonly home: Home,
    readonly segmentBytes: number,
    readonly follow: Follow | null = null,
  ) {
    const what = follow?.what
    const wanted = what?.kind === 'history' ? { timeline: what.timeline, mark: follow!.mark } : null
    this.histories = new TimelineHistories(archive, home, wanted)
  }

  /** Timelines with WAL, ascending. */
  timelines(): Promise<number[]> {
    return (this.#timelines ??= walTimelines(this.archive, this.home))
  }

  /** Whole segments of a timeline from `from` on; what lies before may be missing. */
  wal(timeline: number, from: Lsn): Promise<TimelineWal> {
    const known = this.#wal.get(timeline)
    if (known && known.from <= from) return known.wal
    const wal = this.#list(timeline, from)
    this.#wal.set(timeline, { from, wal })
    return wal
  }

  /** What is missing between the segments of a timeline, where it begins behind `after`. */
  async gaps(timeline: number, after: Lsn): Promise<WalRun[]> {
    const runs = copyOf((await this.wal(timeline, 0n)).runs)
    const found: WalRun[] = []
    for (let at = runs.findIndex((run) => run.to > after); at >= 0 && at + 1 < runs.length;) {
      const { to } = runs[at]!
      const { partial } = await this.tails({ timeline, start: to })
      if (partial?.stored.length === this.segmentBytes) {
        addSegment(runs, to, this.segmentBytes)
        if (runs[at]!.to > to) continue
      }
      found.push({ from: partial?.end ?? to, to: runs[++at]!.from })
    }
    return found
  }

  /** What is stored under a segment's name. */
  contentsOf(segment: Segment): Promise<SegmentContents> {
    const name = segmentName(segment, this.segmentBytes)
    let contents = this.#contents.get(name)
    if (!contents) this.#contents.set(name, (contents = findSegment(this.archive, this.home, name)))
    return contents
  }

  /** Mark of a segment's one content; null when it has several, or none. */
  async markOf(segment: Segment): Promise<string | null> {
    const [only, other] = await this.contentsOf(segment)
    return only && !other ? only.mark : null
  }

  /**
   * What the tails of a segment hold.
   *
   * `front`: what lies in front of it, as follows() takes it. `mark`: of a tail that must be among them.
   */
  tails(segment: Segment, front: Front | null = null, mark: string | null = null): Promise<Tails> {
    const name = segmentName(segment, this.segmentBytes)
    const question = JSON.stringify([name, front, mark])
    let tails = this.#tails.get(question)
    if (!tails) {
      tails = readTails(this.archive, this.home, name, {
        warn: (text) => {
          this.#warn(text)
        },
        sizes: [this.segmentBytes],
        mark,
        ...(front && { follows: (previous) => follows(previous, front.before, front.historyMark) }),
      })
      this.#tails.set(question, tails)
    }
    return tails
  }

  /** Newest commit or abort on a route, read from its last segment backwards to the one that holds `from`; null when none. */
  async lastCommit(route: Route, from: Lsn): Promise<bigint | null> {
    const newest = await this.lastCommitNear(route, from, Infinity)
    return newest === 'further' ? null : newest
  }

  /**
   * The same, to see whether anything was committed at `since` or later: it looks further back, through what was stored since
   * then, as whoever holds a grant can post a last segment whose commits seem to be old.
   */
  async lastCommitSince(route: Route, from: Lsn, since: bigint): Promise<bigint | null> {
    let newest: bigint | null = null
    for (const segment of segmentsOfWayBackwards(route.way, from, route.end, this.segmentBytes)) {
      const micros = await this.#newestEnd(segment, route)
      if (micros !== null && (newest === null || micros > newest)) newest = micros
      if (newest !== null && (newest >= since || (await this.#storedBefore(segment, route, since)))) break
    }
    return newest
  }

  /** The same of so many segments at the most; `further` when there is none in these, and there are more. */
  async lastCommitNear(route: Route, from: Lsn, segments: number): Promise<bigint | null | 'further'> {
    let [left, damaged] = [segments, 0]
    for (const segment of segmentsOfWayBackwards(route.way, from, route.end, this.segmentBytes)) {
      if (left-- <= 0) return 'further'
      const micros = await this.#newestEnd(segment, route)
      if (micros !== null) return micros
      if (this.#isDamaged(segment, route) && ++damaged === DAMAGED_AT_MOST) return null
    }
    return null
  }

  /** Whether a record begins at or behind `lsn` and is stored whole, so that recovery can see that it has got there. */
  async hasRecordAt(route: Route, lsn: Lsn): Promise<boolean> {
    for (const segment of segmentsOfWayBackwards(route.way, lsn, route.end, this.segmentBytes)) {
      const stored = await this.#readable(segment, route)
      const last = stored && lastWholeRecord(stored)
      if (last !== null) return segment.start + BigInt(last) >= lsn
    }
    return false
  }

  /** The first segment of a route that was found damaged; null where none was. */
  damagedOn(route: Route): Segment | null {
    const onRoute = this.#damaged.filter(({ segment: { timeline, start }, mark }) => {
      return timelineAt(route.way, start) === timeline && route.markAt(start) === mark && start < route.end
    })
    return onRoute.reduce<Segment | null>((one, { segment }) => {
      return one !== null && one.start <= segment.start ? one : segment
    }, null)
  }

  #isDamaged({ start, timeline }: Segment, route: Route): boolean {
    return this.#damaged.some(({ segment, mark }) => {
      return segment.start === start && segment.timeline === timeline && mark === route.markAt(start)
    })
  }

  async #newestEnd(segment: Segment, route: Route): Promise<bigint | null> {
    const which = `${segmentName(segment, this.segmentBytes)}-${route.markAt(segment.start) ?? ''}`
    let newest = this.#newest.get(which)
    if (!newest) {
      newest = this.#readable(segment, route).then((stored) => stored && newestEnd(stored))
      this.#newest.set(which, newest)
    }
    return newest
  }

  /** Whether a route's segment was stored before a time, so that nothing in it was committed later. */
  async #storedBefore(segment: Segment, route: Route, since: bigint): Promise<boolean> {
    if (route.joined.has(segment.start)) return false
    const stored = await this.#find(segment, route)
    return microsOf(stored.object.storedAt) + CLOCKS_MICROS < since
  }

  async #list(timeline: number, from: Lsn): Promise<TimelineWal> {
    const runs = new RunBuilder(this.segmentBytes)
    const forks = new ForkFinder(this.segmentBytes)
    const first = segmentName({ timeline, start: from }, this.segmentBytes)
    for await (const contents of walSegments(this.archive, this.home, timeline, first)) {
      const start = startOf(contents[0]!.name, this.segmentBytes)
      if (start === null) continue
      runs.add(start)
      forks.add(start, contents)
    }
    return { runs: runs.runs, forked: forks.forked }
  }

  /**
   * What a route has of a segment: all of it, or what its tails hold. Null, and a problem more, where it is damaged: the way
   * in front of it is as good as it was.
   */
  async #readable(segment: Segment, route: Route): Promise<Buffer | null> {
    const joined = route.joined.get(segment.start)
    if (joined) return joined.stored
    const stored = await this.#find(segment, route)
    try {
      const raw = await readSegment(this.archive, stored, this.segmentBytes)
      checkSegment(raw, segment, this.segmentBytes, this.home.systemIdentifier)
      return raw
    } catch (thrown) {
      damageAsNull(thrown)
      this.#damaged.push({ segment, mark: route.markAt(segment.start) })
      const { key } = stored.object
      const { message } = thrown as PostboxError
      this.#warn(`recovery cannot go through ${message.includes(key) ? message : `${key}: ${message}`}`)
      return null
    }
  }

  /** A whole segment, by what the route takes of it. */
  async #find(segment: Segment, route: Route): Promise<StoredSegment> {
    const name = segmentName(segment, this.segmentBytes)
    const contents = await findSegment(this.archive, this.home, name)
    const mark = route.markAt(segment.start)
    const stored = mark === null ? contents[0] : contents.find((one) => one.mark === mark)
    if (stored) return stored
    throw new PostboxError('wal_missing', `segment ${name} has just gone from the archive`, 'Run the same again.')
  }

  #warn(text: string): void {
    if (this.problems.length >= PROBLEMS_AT_MOST || this.problems.includes(text)) return
    const isLast = this.problems.length === PROBLEMS_AT_MOST - 1
    this.problems.push(isLast ? 'more is wrong with the WAL that was read than is told here' : text)
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
