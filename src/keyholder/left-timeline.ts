import { createHash } from 'node:crypto'
import { sha12 } from '../box/key-names.js'
import type { Lsn } from '../wal/lsn.js'
import { checkSegment } from '../wal/page.js'
import { segmentName, segmentStart, type Segment } from '../wal/segment.js'
import { damageAsNull } from './damage.js'
import type { PartialSegment } from './stored-tails.js'
import { readSegment } from './stored-wal.js'
import { follows } from './wal-forks.js'
import type { WalMap } from './wal-map.js'

/** The end of a timeline, as a later timeline has it. */
export interface TimelineEnd {
  partial: PartialSegment
  /** the segment that it is taken from */
  from: string
  /** what identifies that one's content: of a whole segment, or of the last of its tails */
  mark: string
  isWhole: boolean
}

/** What lies in front of a segment, as follows() takes it. */
export interface Front {
  before: string | null
  historyMark: string | null
}

/**
 * The last segment of a timeline that was left: the first segment of the timeline that left it repeats its bytes up to
 * the switch, and is often the only one that has them all.
 *
 * `own`: what is stored of the segment itself. Null when no other has more.
 */
export async function endOfLeftTimeline(
  wal: WalMap,
  segment: Segment,
  before: string | null,
  own: PartialSegment | null,
): Promise<TimelineEnd | null> {
  let best: TimelineEnd | null = null
  for (const timeline of (await wal.timelines()).filter((one) => one > segment.timeline)) {
    const known: Lsn = (best?.partial ?? own)?.end ?? segment.start
    const found: TimelineEnd | null = await endIn(wal, timeline, segment, before, known).catch(damageAsNull)
    if (!found) continue
    const mine = own?.stored ?? Buffer.alloc(0)
    if (found.partial.stored.subarray(0, mine.length).equals(mine)) best = found
  }
  return best
}

/** What a later timeline has of the segment; null when that is no more than is known, up to `known`. */
async function endIn(
  wal: WalMap,
  timeline: number,
  segment: Segment,
  before: string | null,
  known: Lsn,
): Promise<TimelineEnd | null> {
  const history = await wal.histories.of(timeline)
  const left = history?.switches.find((one) => one.timeline === segment.timeline)?.switchLsn
  const began = history?.switches.at(-1)?.switchLsn
  if (left === undefined || began === undefined || left <= known) return null
  if (left > segment.start + BigInt(wal.segmentBytes)) return null
  if (segmentStart(began, wal.segmentBytes) !== segment.start) return null
  const front = { before, historyMark: history!.mark }
  const found = await contentOf(wal, { timeline, start: segment.start }, front, left)
  return found && { ...found, partial: cutAt(found.bytes, segment, left) }
}

/** Bytes of a segment, whole or by its tails, which must reach to `to`. */
async function contentOf(
  wal: WalMap,
  segment: Segment,
  front: Front,
  to: Lsn,
): Promise<(Omit<TimelineEnd, 'partial'> & { bytes: Buffer }) | null> {
  const from = segmentName(segment, wal.segmentBytes)
  const contents = await wal.contentsOf(segment)
  const whole = contents.find(({ previous }) => follows(previous, front.before, front.historyMark) !== false)
  if (whole) {
    const bytes = await readSegment(wal.archive, whole, wal.segmentBytes)
    checkSegment(bytes, segment, wal.segmentBytes, wal.home.systemIdentifier)
    return { from, mark: whole.mark, isWhole: true, bytes }
  }
  const { partial } = await wal.tails(segment, front)
  return partial && partial.end >= to ? { from, mark: partial.mark, isWhole: false, bytes: partial.padded } : null
}

function cutAt(bytes: Buffer, segment: Segment, end: Lsn): PartialSegment {
  const padded = Buffer.alloc(bytes.length)
  const length = bytes.copy(padded, 0, 0, Number(end - segment.start))
  const stored = padded.subarray(0, length)
  return { segment, stored, end, padded, mark: sha12(createHash('sha256').update(stored).digest()) }
}
