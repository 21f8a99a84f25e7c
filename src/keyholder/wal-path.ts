import { previousOfFirst } from '../box/key-names.js'
import { formatLsn, type Lsn } from '../wal/lsn.js'
import type { Segment } from '../wal/segment.js'
import type { SegmentContents, StoredSegment } from './stored-wal.js'
import { timelineAt, type Leg } from './wal-chain.js'
import { follows, type ForkedSegment } from './wal-forks.js'

/** An object that the path must lead through: a segment with this content. */
export interface Waypoint {
  segment: Segment
  mark: string
}

/** How a timeline of the way begins. */
export interface TimelineStart {
  /** mark of its history */
  historyMark: string
  /** of the other histories that are stored of it */
  otherMarks?: readonly string[]
  /** its first segment */
  start: Lsn
  /** the segment in front of that lies on this timeline */
  parent: number
}

export interface PathQuestion {
  way: readonly Leg[]
  segmentBytes: number
  /** by timeline and start */
  forked: ReadonlyMap<number, ReadonlyMap<Lsn, ForkedSegment>>
  /** by timeline; none for those that were not entered on the way */
  starts: ReadonlyMap<number, TimelineStart>
  /** where the way is followed by one of several contents, those that lead to these; the first counts most */
  waypoints: readonly Waypoint[]
  /** take no whole segment from here on */
  stopAt: Lsn | null
  /** segments that are joined from their tails, by start */
  joined: ReadonlyMap<Lsn, { mark: string }>
  /** mark of a segment that is not forked, or null */
  markOf: (segment: Segment) => Promise<string | null>
}

/** One consistent choice among what is stored of a way. */
export interface Path {
  /** by start: what is chosen of each forked segment */
  chosen: Map<Lsn, StoredSegment>
  /** first segment that does not follow what lies in front of it, or where to stop; null when there is none */
  cut: Lsn | null
  /** a sentence for each place where two servers' WAL parts */
  notes: string[]
}

/**
 * Leads along a way so that each segment follows the one before it: two servers' WAL is never mixed.
 *
 * Where two go on, the one that leads to a waypoint or to the next timeline of the way is taken, and else the one that was
 * stored first.
 */
export async function choosePath(question: PathQuestion): Promise<Path> {
  const { segmentBytes, stopAt } = question
  const wishes = wishesOf(question)
  const path: Path = { chosen: new Map(), cut: null, notes: [] }
  let partedAt: Lsn | null = null
  for (const { timeline, entry } of forkedOn(question)) {
    if (stopAt !== null && entry.start >= stopAt) break
    const front = entry.start - BigInt(segmentBytes)
    const fitting = await fittingOf(question, path, timeline, entry)
    if (fitting.length === 0) {
      path.cut = entry.start
      const key = entry.contents[0]!.object.key
      path.notes.push(`${key} does not follow the WAL in front of it: another server wrote it, and it is not used`)
      return path
    }
    const wish = wishes.find((one) => fitting.some((content) => one.has(content)))
    const taken = fitting.find((content) => wish?.has(content)) ?? fitting[0]!
    path.chosen.set(entry.start, taken)
    if (entry.contents.length === 1) continue
    if (partedAt !== front) path.notes.push(partingNote(timeline, entry, taken))
    partedAt = entry.start
  }
  path.cut = stopAt
  return path
}

/** Whether a path leads through a waypoint. */
export async function leadsThrough({ segment, mark }: Waypoint, path: Path, question: PathQuestion): Promise<boolean> {
  if (timelineAt(question.way, segment.start) !== segment.timeline) return false
  if (path.cut !== null && segment.start >= path.cut) return false
  const taken = path.chosen.get(segment.start)?.mark ?? (await question.markOf(segment))
  return taken === mark
}

interface WayEntry {
  timeline: number
  entry: ForkedSegment
}

/** Forked segments of the way, in its order. */
function* forkedOn({ way, forked }: PathQuestion): Generator<WayEntry> {
  for (const { timeline, from, to } of way) {
    const entries = [...(forked.get(timeline)?.values() ?? [])]
    const inLeg = entries.filter(({ start }) => from <= start && (to === null || start < to))
    for (const entry of inLeg.sort((a, b) => (a.start < b.start ? -1 : 1))) yield { timeline, entry }
  }
}

/** Contents that go on from what was chosen in front; those that do not say so only where that is not in doubt. */
async function fittingOf(
  question: PathQuestion,
  path: Path,
  timeline: number,
  { start, contents, before }: ForkedSegment,
): Promise<SegmentContents> {
  const { way, forked, starts, joined, markOf, segmentBytes } = question
  const begin = starts.get(timeline)
  const isFirst = begin?.start === start
  const front = start - BigInt(segmentBytes)
  const offWay = front < way[0]!.from
  const inFront = path.chosen.get(front)?.mark ?? joined.get(front)?.mark ?? (offWay ? null : before)
  const mark = inFront ?? (isFirst ? await markOf({ timeline: begin.parent, start: front }) : null)
  // The WAL in front need not be this server's, nor be there at all, and may have been posted later.
  if (offWay && isFirst) {
    const own = contents.filter((one) => !isOfOther(one, begin, mark))
    return own.length > 0 ? own : contents
  }
  const answers = contents.map((one) => {
    return isFirst && isOfOther(one, begin, mark)
      ? false
      : follows(one.previous, mark, isFirst ? begin.historyMark : null)
  })
  const sure = contents.filter((_, index) => answers[index] === true)
  if (sure.length > 0) return sure
  if (offWay) return contents
  const parted = (forked.get(timelineAt(way, front) ?? 0)?.get(front)?.contents.length ?? 0) > 1
  return parted ? [] : contents.filter((_, index) => answers[index] === null)
}

/** Whether a timeline's first segment says that it began by another history than the one that is followed. */
function isOfOther({ previous }: StoredSegment, { otherMarks = [] }: TimelineStart, front: string | null): boolean {
  return otherMarks.some((mark) => [null, front].some((before) => previous === previousOfFirst(before, mark)))
}

/** For each waypoint and for each timeline that is entered, the contents that lead there. */
function wishesOf(question: PathQuestion): ReadonlySet<StoredSegment>[] {
  const entries = [...forkedOn(question)]
  const { way, waypoints } = question
  const wishes = waypoints.map(({ segment: { start }, mark }) => leadingTo(question, entries, start, mark))
  return [...wishes, ...way.slice(1).map(({ from }) => leadingTo(question, entries, from, null))]
}

/**
 * Contents of a segment, and of those in front of it the ones that they follow.
 *
 * Between two forked segments each follows the one before it, so that only these matter. `mark`: of one content, or null.
 */
function leadingTo(
  question: PathQuestion,
  entries: readonly WayEntry[],
  to: Lsn,
  mark: string | null,
): Set<StoredSegment> {
  const leading = new Set<StoredSegment>()
  let last: { start: Lsn; contents: SegmentContents; historyMark: string | null } | null = null
  for (const { timeline, entry } of entries.filter((one) => one.entry.start <= to).reverse()) {
    const { start } = entry
    const inFront: boolean = last?.start === start + BigInt(question.segmentBytes)
    let contents = entry.contents
    if (last && inFront) {
      const { contents: followed, historyMark } = last
      contents = contents.filter((one) => followed.some((two) => follows(two.previous, one.mark, historyMark) === true))
    } else if (start === to && mark !== null) {
      contents = contents.filter((one) => one.mark === mark)
    } else if (contents.length > 1 && start !== to) {
      break
    }
    if (contents.length === 0) break
    for (const one of contents) leading.add(one)
    const begin = question.starts.get(timeline)
    last = { start, contents, historyMark: begin?.start === start ? begin.historyMark : null }
  }
  return leading
}

function partingNote(timeline: number, { start, contents }: ForkedSegment, taken: StoredSegment): string {
  const others = contents.filter((one) => one !== taken).map(({ object }) => object.key)
  return (
    `timeline ${timeline} is stored in two ways from ${formatLsn(start)} on, as after a split brain: ` +
    `${taken.object.key} is followed, and not ${others.join(', ')} (choose by --follow KEY)`
  )
}
