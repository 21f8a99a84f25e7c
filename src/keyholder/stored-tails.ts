import { createHash } from 'node:crypto'
import { parseTailKey, sha12, tailPrefix, type Home, type Previous, type TailRange } from '../box/key-names.js'
import { PostboxError } from '../errors.js'
import { formatLsn, type Lsn } from '../wal/lsn.js'
import { checkSegment, LONG_HEADER_BYTES, readSegmentHeader, SEGMENT_SIZES } from '../wal/page.js'
import { parseSegmentName, type Segment } from '../wal/segment.js'
import type { Archive, StoredObject } from './archive.js'
import { inOrder } from './in-order.js'
import { TailBranches, type TailBranch, type TailPiece } from './tail-branches.js'
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
  /** first 12 hex digits of the SHA-256 of `stored`: the mark of its last tail */
  mark: string
}

/** What the tails of a segment come to. */
export interface Tails {
  /** null when they do not even hold its header */
  partial: PartialSegment | null
  /** whether another server's tails were passed over */
  parted: boolean
}

export interface TailsWanted {
  /** told of each tail that is passed over, and why */
  warn: (text: string) => void
  /** sizes that the segment may have */
  sizes?: readonly number[]
  /** whether a segment with this `previous` goes on from what is in front; null when it does not say what it follows */
  follows?: (previous: Previous) => boolean | null
  /** mark of a tail: where two servers wrote the segment, the one that wrote this */
  mark?: string | null
}

interface StoredTail extends TailRange {
  object: StoredObject
  previous: Previous
  mark: string
}

/** Tails are small, so it is their number that takes time. */
const READ_AT_ONCE = 16

/**
 * A segment as far as its tails hold it without a gap.
 *
 * A tail that is damaged, or does not go on from what lies in front of it, is passed over, and another one taken that
 * holds the same bytes. Where two servers wrote the segment, one of them is followed. Throws only what is the archive's
 * fault, and `wal_missing` when `mark` is wanted and there is no such tail.
 */
export async function readTails(archive: Archive, home: Home, name: string, wanted: TailsWanted): Promise<Tails> {
  const { warn, sizes = SEGMENT_SIZES } = wanted
  const all = await listTails(archive, home, name)
  const tails = following(all, wanted)
  const starts = possibleStarts(tails, name, sizes)
  if (tails.length > 0 && starts.size === 0) {
    warn(`there are tails of ${name}, but not the one that holds its beginning`)
  }
  for (const start of starts) {
    const branches = (await grow(archive, tails, start, Math.max(...sizes), warn)).inOrder()
    for (const branch of branches) {
      if (wanted.mark && !branch.has(wanted.mark)) continue
      const partial = asSegment(branch, name, home, sizes, warn)
      if (!partial) continue
      const parted = tellOfOthers(branches, branch, partial.segment, name, warn)
      const behind = tails.find((tail) => tail.from > partial.end)
      if (behind) warn(`tails of ${name} end at ${formatLsn(partial.end)} and go on at ${formatLsn(behind.from)} only`)
      return { partial, parted: parted || tails.length < all.length }
    }
  }
  if (wanted.mark) throw gone(name, wanted.mark)
  return { partial: null, parted: tails.length < all.length }
}

/** In the order of `from`, then of time. */
async function listTails(archive: Archive, home: Home, name: string): Promise<StoredTail[]> {
  const tails: StoredTail[] = []
  for await (const object of archive.list(tailPrefix(home, Number.parseInt(name.slice(0, 8), 16), name))) {
    const parsed = parseTailKey(object.key)
    if (parsed?.name !== name || parsed.to <= parsed.from) continue
    tails.push({ object, from: parsed.from, to: parsed.to, previous: parsed.previous, mark: parsed.sha12 })
  }
  const at = ({ object }: StoredTail) => object.storedAt.getTime()
  return tails.sort((a, b) => (a.from === b.from ? at(a) - at(b) : a.from < b.from ? -1 : 1))
}

/** Those that go on from the segment in front; those that do not say so only where no other does. */
function following(tails: StoredTail[], { follows, warn }: TailsWanted): StoredTail[] {
  if (!follows) return tails
  const told = new Set<Previous>()
  const answers = tails.map((tail) => ({ tail, answer: follows(tail.previous) }))
  for (const { tail, answer } of answers) {
    if (answer !== false || told.has(tail.previous)) continue
    told.add(tail.previous)
    warn(`${tail.object.key} does not follow the segment that is in front of it: another server wrote it`)
  }
  const sure = answers.filter(({ answer }) => answer === true)
  return (sure.length > 0 ? sure : answers.filter(({ answer }) => answer === null)).map(({ tail }) => tail)
}

/** Where the segment may begin, the place that was claimed first in front: its size is not known from its name. */
function possibleStarts(tails: readonly StoredTail[], name: string, sizes: readonly number[]): Set<Lsn> {
  const starts = sizes.map((size) => startOf(name, size))
  const first = tails.filter(({ from }) => starts.includes(from))
  return new Set(
    first.sort((a, b) => a.object.storedAt.getTime() - b.object.storedAt.getTime()).map(({ from }) => from),
  )
}

function startOf(name: string, segmentBytes: number): Lsn | null {
  try {
    return parseSegmentName(name, segmentBytes).start
  } catch {
    return null
  }
}

/** What the tails hold from `start` on, for each server that wrote them. */
async function grow(
  archive: Archive,
  tails: readonly StoredTail[],
  start: Lsn,
  bytes: number,
  warn: (text: string) => void,
): Promise<TailBranches> {
  const limit = start + BigInt(bytes)
  const usable = tails.filter(({ from, to }) => from >= start && to <= limit)
  const branches = new TailBranches()
  let reached = 0
  const read = (tail: StoredTail) => readTail(archive, tail, start, warn)
  for await (const piece of inOrder(usable, { atOnce: READ_AT_ONCE }, read)) {
    // What lies behind a gap is told of in one line.
    if (!piece || piece.from > reached) continue
    if (branches.add(piece)) reached = Math.max(reached, piece.to)
    else warn(`${piece.key} does not go on from what was stored in front of it: passed over`)
  }
  return branches
}

/** A tail with its bytes; null when they are not as many as its name says, or have just gone. */
async function readTail(
  archive: Archive,
  { object, from, to, mark }: StoredTail,
  start: Lsn,
  warn: (text: string) => void,
): Promise<TailPiece | null> {
  const { key, storedAt } = object
  try {
    const raw = await decompress(await archive.read(object), key, Number(to - from))
    if (BigInt(raw.length) === to - from) {
      return { key, from: Number(from - start), to: Number(to - start), mark, storedAt, raw }
    }
    warn(`${key} holds ${raw.length} bytes, not those that its name says: passed over`)
  } catch (thrown) {
    const passed = thrown instanceof PostboxError && ['object_damaged', 'object_missing'].includes(thrown.code)
    if (!passed) throw thrown
    warn(`${thrown.message}: passed over`)
  }
  return null
}

/** Names the branches that part from the one that is followed; whether there are any. */
function tellOfOthers(
  branches: readonly TailBranch[],
  followed: TailBranch,
  { start }: Segment,
  name: string,
  warn: (text: string) => void,
): boolean {
  let parted = false
  for (const other of branches) {
    const at = other.partsAt(followed)
    if (at === null) continue
    parted = true
    const [key, otherKey] = [followed.pieceAt(at).key, other.pieceAt(at).key]
    warn(
      `${name} is stored in two ways from ${formatLsn(start + BigInt(at))} on: ${key} is followed, and not ${otherKey}`,
    )
  }
  return parted
}

/** A branch as the segment that it claims to be; null, and a warning, when it is not. */
function asSegment(
  { bytes }: TailBranch,
  name: string,
  home: Home,
  sizes: readonly number[],
  warn: (text: string) => void,
): PartialSegment | null {
  if (bytes.length < LONG_HEADER_BYTES) return null
  try {
    const { segmentBytes } = readSegmentHeader(bytes)
    if (!sizes.includes(segmentBytes)) throw new RangeError(`they say that segments have ${segmentBytes} bytes`)
    const padded = Buffer.alloc(segmentBytes)
    const length = bytes.copy(padded)
    const segment = parseSegmentName(name, segmentBytes)
    checkSegment(padded, segment, segmentBytes, home.systemIdentifier)
    const stored = padded.subarray(0, length)
    return { segment, stored, end: segment.start + BigInt(length), padded, mark: markOf(stored) }
  } catch (thrown) {
    warn(`the tails of ${name} cannot be used: ${(thrown as Error).message}`)
    return null
  }
}

const markOf = (bytes: Buffer): string => sha12(createHash('sha256').update(bytes).digest())

function gone(name: string, mark: string): PostboxError {
  const message = `no tail of segment ${name} has the mark ${mark} (any more)`
  return new PostboxError('wal_missing', message, 'Restore again: what is stored has changed meanwhile.')
}
