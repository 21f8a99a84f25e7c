import { createHash } from 'node:crypto'
import { sha12 } from '../box/key-names.js'
import type { Lsn } from '../wal/lsn.js'
import { segmentName, segmentStart, type Segment } from '../wal/segment.js'
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
  for (const timeline of await wal.timelines()) {
    if (timeline <= segment.timeline) continue
    const history = await wal.histories.of(timeline)
    const left = history?.switches.find((one) => one.timeline === segment.timeline)?.switchLsn
    const began = history?.switches.at(-1)?.switchLsn
    if (left === undefined || began === undefined) continue
    if (segmentStart(began, wal.segmentBytes) !== segment.start) continue
    if (left <= ((best?.partial ?? own)?.end ?? segment.start)) continue
    const found = await contentOf(wal, { timeline, start: segment.start }, { before, historyMark: history!.mark }, left)
    if (!found || (own && !found.bytes.subarray(0, own.stored.length).equals(own.stored))) continue
    best = { ...found, partial: cutAt(found.bytes, segment, left) }
  }
  return best
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
  if (whole) return { from, mark: whole.mark, isWhole: true, bytes: await readSegment(wal.archive, whole) }
  const { partial } = await wal.tails(segment, front)
  return partial && partial.end >= to ? { from, mark: partial.mark, isWhole: false, bytes: partial.padded } : null
}

function cutAt(bytes: Buffer, segment: Segment, end: Lsn): PartialSegment {
  const padded = Buffer.alloc(bytes.length)
  const length = bytes.copy(padded, 0, 0, Number(end - segment.start))
  const stored = padded.subarray(0, length)
  return { segment, stored, end, padded, mark: sha12(createHash('sha256').update(stored).digest()) }
}
