import { createHash } from 'node:crypto'
import {
  homePrefix,
  parseHistoryKey,
  parseSegmentKey,
  sha12,
  tailsPrefix,
  timelinePrefix,
  walPrefix,
  type Home,
  type Previous,
} from '../box/key-names.js'
import { readSegmentHeader, SEGMENT_SIZES } from '../wal/page.js'
import { formatTimeline } from '../wal/segment.js'
import type { Archive, StoredObject } from './archive.js'
import { damageAsNull, damagedWal } from './damage.js'
import { decompress, decompressBeginning, framesOf } from './zstd.js'

/** A segment in the archive, by its name and the object to take it from. */
export interface StoredSegment {
  name: string
  /** the content mark of its key: first 12 hex digits of the raw bytes' SHA-256 */
  mark: string
  /** what its key says of the WAL in front of it */
  previous: Previous
  object: StoredObject
}

/**
 * All that is stored under the name of one segment, what was stored first in front: one content, unless two servers
 * wrote the segment. Whoever holds a grant can store later, but not earlier.
 */
export type SegmentContents = readonly StoredSegment[]

/**
 * Segments of one timeline in WAL order. Memory does not grow with their number.
 *
 * `from`: name of the first segment that is wanted; listing begins there.
 */
export async function* walSegments(
  archive: Archive,
  home: Home,
  timeline: number,
  from?: string,
): AsyncGenerator<SegmentContents> {
  const prefix = timelinePrefix(home, timeline)
  // A key goes on after its segment's name, so it sorts behind the bare name.
  yield* groupSegments(archive.list(prefix, from === undefined ? undefined : prefix + from))
}

/** Puts together what a listing in key order has under each segment's name. */
export async function* groupSegments(objects: AsyncIterable<StoredObject>): AsyncGenerator<SegmentContents> {
  let current: StoredSegment[] = []
  for await (const object of objects) {
    const segment = asSegment(object)
    if (!segment) continue
    if (current[0] && current[0].name !== segment.name) {
      yield contentsOf(current)
      current = []
    }
    current.push(segment)
  }
  if (current.length > 0) yield contentsOf(current)
}

/** What is stored under one segment's name; nothing when the archive does not have it. */
export async function findSegment(archive: Archive, home: Home, name: string): Promise<SegmentContents> {
  const found: StoredSegment[] = []
  const timeline = Number.parseInt(name.slice(0, 8), 16)
  for await (const object of archive.list(`${timelinePrefix(home, timeline)}${name}-`)) {
    const segment = asSegment(object)
    if (segment?.name === name) found.push(segment)
  }
  return contentsOf(found)
}

export function asSegment(object: StoredObject): StoredSegment | null {
  const parsed = parseSegmentKey(object.key)
  return parsed && { name: parsed.name, mark: parsed.sha12, previous: parsed.previous, object }
}

/** A segment may be there twice because a worker did not know what it follows: that is one content. */
function contentsOf(segments: StoredSegment[]): SegmentContents {
  if (segments.length < 2) return segments
  const at = ({ object }: StoredSegment) => object.storedAt.getTime()
  const sorted = segments.sort((a, b) => at(a) - at(b) || (a.object.key < b.object.key ? -1 : 1))
  return sorted.filter(({ mark }, index) => sorted.findIndex((one) => one.mark === mark) === index)
}

/**
 * Raw bytes of a segment. Throws `object_damaged` when they are not what the key says, or more than `segmentBytes`: by
 * default, than its header says.
 */
export async function readSegment(archive: Archive, segment: StoredSegment, segmentBytes?: number): Promise<Buffer> {
  const { object, mark } = segment
  const stored = await archive.read(object)
  const raw = await decompress(stored, object.key, segmentBytes ?? sizeByHeader(stored, object.key))
  checkMark(object.key, raw, mark)
  return raw
}

/** What is no WAL at all may be as large as the smallest segment. */
function sizeByHeader(stored: Buffer, key: string): number {
  try {
    return readSegmentHeader(decompressBeginning(framesOf(stored, key), key)).segmentBytes
  } catch (thrown) {
    damageAsNull(thrown)
    return SEGMENT_SIZES[0]!
  }
}

/** Timelines that have WAL in the archive, be it the tails of a first segment, ascending. */
export async function walTimelines(archive: Archive, home: Home): Promise<number[]> {
  const timelines = new Set<number>()
  for (const prefix of [walPrefix(home), tailsPrefix(home)]) {
    for await (const folder of archive.folders(prefix)) {
      if (/^[0-9A-F]{8}$/.test(folder)) timelines.add(Number.parseInt(folder, 16))
    }
  }
  return [...timelines].sort((a, b) => a - b)
}

/** A timeline's history in the archive. */
export interface StoredHistory {
  timeline: number
  mark: string
  object: StoredObject
}

/** Histories of a timeline, what was stored first in front: one, unless two servers were promoted to it. */
export async function findHistories(archive: Archive, home: Home, timeline: number): Promise<StoredHistory[]> {
  const found: StoredHistory[] = []
  for await (const object of archive.list(`${walPrefix(home)}${formatTimeline(timeline)}.history-`)) {
    const parsed = parseHistoryKey(object.key)
    if (parsed) found.push({ timeline, mark: parsed.sha12, object })
  }
  return found.sort((a, b) => a.object.storedAt.getTime() - b.object.storedAt.getTime())
}

/** A timeline has a line of some fifty bytes in it. */
const HISTORY_BYTES_AT_MOST = 1024 * 1024

/** Bytes of a history. Throws `object_damaged` when they are not what the key says. */
export async function readHistory(archive: Archive, { object, mark }: StoredHistory): Promise<Buffer> {
  if (object.bytes > HISTORY_BYTES_AT_MOST) throw damagedWal(object.key)
  const raw = await archive.read(object)
  checkMark(object.key, raw, mark)
  return raw
}

/** Whether anything at all is stored of this server's life: tells a wrong name from an empty archive. */
export async function hasAnything(archive: Archive, home: Home): Promise<boolean> {
  return !(await archive.list(homePrefix(home)).next()).done
}

function checkMark(key: string, raw: Buffer, mark: string): void {
  if (sha12(createHash('sha256').update(raw).digest()) === mark) return
  throw damagedWal(key)
}
