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
} from '../box/key-names.js'
import { PostboxError } from '../errors.js'
import { formatTimeline } from '../wal/segment.js'
import type { Archive, StoredObject } from './archive.js'
import { decompress } from './zstd.js'

/** A segment in the archive, by its name and the object to take it from. */
export interface StoredSegment {
  name: string
  /** the content mark of its key: first 12 hex digits of the raw bytes' SHA-256 */
  mark: string
  object: StoredObject
  /** keys of objects that claim the same name with other bytes, and were stored later */
  rivals: string[]
}

/**
 * Segments of one timeline in WAL order, each once. Memory does not grow with their number.
 *
 * `from`: name of the first segment that is wanted; listing begins there.
 */
export async function* walSegments(
  archive: Archive,
  home: Home,
  timeline: number,
  from?: string,
): AsyncGenerator<StoredSegment> {
  const prefix = timelinePrefix(home, timeline)
  let current: StoredSegment | null = null
  // A key goes on after its segment's name, so it sorts behind the bare name.
  for await (const object of archive.list(prefix, from === undefined ? undefined : prefix + from)) {
    const parsed = parseSegmentKey(object.key)
    if (!parsed) continue
    const found: StoredSegment = { name: parsed.name, mark: parsed.sha12, object, rivals: [] }
    if (current?.name === found.name) {
      current = earlier(current, found)
    } else {
      if (current) yield current
      current = found
    }
  }
  if (current) yield current
}

/** One segment, or null when the archive does not have it. */
export async function findSegment(archive: Archive, home: Home, name: string): Promise<StoredSegment | null> {
  let found: StoredSegment | null = null
  const timeline = Number.parseInt(name.slice(0, 8), 16)
  for await (const object of archive.list(`${timelinePrefix(home, timeline)}${name}-`)) {
    const parsed = parseSegmentKey(object.key)
    if (parsed?.name !== name) continue
    const segment = { name, mark: parsed.sha12, object, rivals: [] }
    found = found ? earlier(found, segment) : segment
  }
  return found
}

/** Whoever holds a grant can store later, but not earlier: of two objects under one name, the first is the true one. */
function earlier(known: StoredSegment, other: StoredSegment): StoredSegment {
  const [first, second] = other.object.storedAt < known.object.storedAt ? [other, known] : [known, other]
  return { ...first, rivals: [...first.rivals, ...second.rivals, second.object.key] }
}

/** Raw bytes of a segment. Throws `object_damaged` when they are not what the key says. */
export async function readSegment(archive: Archive, segment: StoredSegment): Promise<Buffer> {
  const raw = await decompress(await archive.read(segment.object), segment.object.key)
  checkMark(segment.object.key, raw, segment.mark)
  return raw
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

/** Bytes of a timeline's `.history` file, or null when the archive does not have it. */
export async function readHistory(archive: Archive, home: Home, timeline: number): Promise<Buffer | null> {
  let first: { object: StoredObject; mark: string } | null = null
  for await (const object of archive.list(`${walPrefix(home)}${formatTimeline(timeline)}.history-`)) {
    const parsed = parseHistoryKey(object.key)
    if (parsed && (!first || object.storedAt < first.object.storedAt)) first = { object, mark: parsed.sha12 }
  }
  if (!first) return null
  const raw = await archive.read(first.object)
  checkMark(first.object.key, raw, first.mark)
  return raw
}

/** Whether anything at all is stored of this server's life: tells a wrong name from an empty archive. */
export async function hasAnything(archive: Archive, home: Home): Promise<boolean> {
  return !(await archive.list(homePrefix(home)).next()).done
}

/** Throws `object_damaged` when raw bytes are not those that the key of a piece of WAL was named by. */
export function checkMark(key: string, raw: Buffer, mark: string): void {
  if (sha12(createHash('sha256').update(raw).digest()) === mark) return
  throw new PostboxError(
    'object_damaged',
    `${key} holds other bytes than its name says`,
    'The object is damaged or was written by somebody else. Look at its other versions in the bucket.',
  )
}
