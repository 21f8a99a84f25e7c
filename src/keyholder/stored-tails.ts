import { parseTailKey, tailPrefix, type Home } from '../box/key-names.js'
import { PostboxError } from '../errors.js'
import { formatLsn, type Lsn } from '../wal/lsn.js'
import { checkSegment, LONG_HEADER_BYTES, readSegmentHeader } from '../wal/page.js'
import { parseSegmentName, type Segment } from '../wal/segment.js'
import type { Archive, StoredObject } from './archive.js'
import { inOrder } from './in-order.js'
import { checkMark } from './stored-wal.js'
import { chainOf, type TailPlace } from './tail-chain.js'
import { decompress } from './zstd.js'

/** The beginning of a segment that is not stored whole, joined from its tails. */
export interface PartialSegment {
  segment: Segment
  /** what is stored of it: its header at least, and all of it when the chain of tails is unbroken */
  stored: Buffer
  /** first byte that is not stored */
  end: Lsn
  /** the same bytes in a segment's size, zeros behind them: there Postgres sees the end of WAL */
  padded: Buffer
}

interface StoredTail extends TailPlace {
  object: StoredObject
  /** first 12 hex digits of the raw bytes' SHA-256 */
  mark: string
}

/** Sizes that initdb knows: powers of two from 1 MiB to 1 GiB. */
export const SEGMENT_SIZES: readonly number[] = Array.from({ length: 11 }, (_, power) => 2 ** (20 + power))

/** Tails are small, so it is their number that takes time. */
const READ_AT_ONCE = 16

/**
 * A segment as far as its tails hold it without a gap; null when they do not even hold its header.
 *
 * A tail that is damaged, or contradicts what was stored before it, is passed over, and another one taken that holds the
 * same bytes. `warn` is told of each, and of tails behind the gap.
 *
 * `sizes`: those that the segment may have. Throws only what is the archive's fault.
 */
export async function readTails(
  archive: Archive,
  home: Home,
  name: string,
  warn: (text: string) => void,
  sizes = SEGMENT_SIZES,
): Promise<PartialSegment | null> {
  const tails = await listTails(archive, home, name)
  if (tails.length === 0) return null
  warnOfTwins(tails, warn)
  const starts = possibleStarts(tails, name, sizes)
  if (starts.size === 0) warn(`there are tails of ${name}, but not the one that holds its beginning`)
  for (const start of starts) {
    const partial = asSegment(await joinTails(archive, tails, start, warn), name, home, sizes, warn)
    if (!partial) continue
    const behind = tails.find((tail) => tail.from > partial.end)
    if (behind) warn(`tails of ${name} end at ${formatLsn(partial.end)} and go on at ${formatLsn(behind.from)} only`)
    return partial
  }
  return null
}

/** In the order of `from`, as their names sort. */
async function listTails(archive: Archive, home: Home, name: string): Promise<StoredTail[]> {
  const tails: StoredTail[] = []
  for await (const object of archive.list(tailPrefix(home, Number.parseInt(name.slice(0, 8), 16), name))) {
    const parsed = parseTailKey(object.key)
    if (parsed?.name !== name || parsed.to <= parsed.from) continue
    tails.push({ object, from: parsed.from, to: parsed.to, mark: parsed.sha12, storedAt: object.storedAt })
  }
  return tails
}

/** Two tails of the same bytes under two marks contradict each other: seen without reading them. */
function warnOfTwins(tails: readonly StoredTail[], warn: (text: string) => void): void {
  for (const [index, tail] of tails.slice(1).entries()) {
    const other = tails[index]!
    if (tail.from !== other.from || tail.to !== other.to) continue
    const [first, later] = other.storedAt <= tail.storedAt ? [other, tail] : [tail, other]
    warn(`${later.object.key} claims the place of ${first.object.key} with other bytes, and was stored later`)
  }
}

/** Where the segment may begin, the place that was claimed first in front: its size is not known from its name. */
function possibleStarts(tails: readonly StoredTail[], name: string, sizes: readonly number[]): Set<Lsn> {
  const starts = sizes.map((size) => startOf(name, size))
  const first = tails.filter(({ from }) => starts.includes(from))
  return new Set(first.sort((a, b) => a.storedAt.getTime() - b.storedAt.getTime()).map(({ from }) => from))
}

function startOf(name: string, segmentBytes: number): Lsn | null {
  try {
    return parseSegmentName(name, segmentBytes).start
  } catch {
    return null
  }
}

/** The bytes from `start` on, up to the first that no good tail holds. */
async function joinTails(
  archive: Archive,
  tails: readonly StoredTail[],
  start: Lsn,
  warn: (text: string) => void,
): Promise<Buffer> {
  const limit = start + BigInt(SEGMENT_SIZES.at(-1)!)
  let usable = tails.filter(({ from, to }) => from >= start && to <= limit)
  const joined = Buffer.alloc(Number((chainOf(usable, start).at(-1)?.to ?? start) - start))
  for (let length = 0; ;) {
    const reached = start + BigInt(length)
    const chain = chainOf(usable, reached)
    let bad: StoredTail | null = null
    for await (const { tail, raw } of inOrder(chain, { atOnce: READ_AT_ONCE }, (one) => readTail(archive, one, warn))) {
      const at = Number(tail.from - start)
      if (raw && !raw.subarray(0, length - at).equals(joined.subarray(at, length))) {
        warn(`${tail.object.key} holds other bytes than a tail that was stored before it: passed over`)
      } else if (raw) {
        raw.copy(joined, length, length - at)
        length = at + raw.length
        continue
      }
      bad = tail
      break
    }
    if (!bad) return joined.subarray(0, length)
    usable = usable.filter((tail) => tail !== bad)
  }
}

/** Raw bytes of a tail; null when it does not hold what its name says, or has just gone. */
async function readTail(
  archive: Archive,
  tail: StoredTail,
  warn: (text: string) => void,
): Promise<{ tail: StoredTail; raw: Buffer | null }> {
  const { object, from, to, mark } = tail
  try {
    const raw = await decompress(await archive.read(object), object.key)
    checkMark(object.key, raw, mark)
    if (BigInt(raw.length) === to - from) return { tail, raw }
    warn(`${object.key} holds ${raw.length} bytes, not those that its name says: passed over`)
  } catch (thrown) {
    const passed = thrown instanceof PostboxError && ['object_damaged', 'object_missing'].includes(thrown.code)
    if (!passed) throw thrown
    warn(`${thrown.message}: passed over`)
  }
  return { tail, raw: null }
}

/** Joined tails as the segment that they claim to be; null, and a warning, when they are not. */
function asSegment(
  joined: Buffer,
  name: string,
  home: Home,
  sizes: readonly number[],
  warn: (text: string) => void,
): PartialSegment | null {
  if (joined.length < LONG_HEADER_BYTES) return null
  try {
    const { segmentBytes } = readSegmentHeader(joined)
    if (!sizes.includes(segmentBytes)) throw new RangeError(`they say that segments have ${segmentBytes} bytes`)
    const padded = Buffer.alloc(segmentBytes)
    const length = joined.copy(padded)
    const segment = parseSegmentName(name, segmentBytes)
    checkSegment(padded, segment, segmentBytes, home.systemIdentifier)
    return { segment, stored: padded.subarray(0, length), end: segment.start + BigInt(length), padded }
  } catch (thrown) {
    warn(`the tails of ${name} cannot be used: ${(thrown as Error).message}`)
    return null
  }
}
