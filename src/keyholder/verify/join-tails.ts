import { createHash } from 'node:crypto'
import { sha12 } from '../../box/key-names.js'
import { formatLsn, type Lsn } from '../../wal/lsn.js'
import type { Archive } from '../archive.js'
import { inOrder } from '../in-order.js'
import { TailBranches, type TailBranch, type TailPiece } from '../tail-branches.js'
import { decompress } from '../zstd.js'
import { damage } from './problem.js'
import type { PlacedTail, TailGroup } from './tail-groups.js'

/** Tails whose bytes cannot be had, although they were stored. */
export interface TailLoss {
  timeline: number
  /** first byte that is lost */
  from: Lsn
  /** end of the segment */
  to: Lsn
  /** a sentence each */
  problems: string[]
}

const READ_AT_ONCE = 16

/**
 * Reads tails of one segment and joins them as a restore does; null when the bytes of each can be had, from it or another.
 *
 * Each tail of a session of the worker begins where the one before it ended, which was stored before it: so one that goes on
 * from nothing is a sign that another was lost.
 */
export async function joinTails(
  archive: Archive,
  { timeline, name, start }: TailGroup,
  tails: readonly PlacedTail[],
  segmentBytes: number,
): Promise<TailLoss | null> {
  const branches = new TailBranches()
  let reached = 0
  const passed: { tail: PlacedTail; problem: string | null }[] = []
  const read = async (tail: PlacedTail) => ({ tail, read: await readTail(archive, tail, start) })
  for await (const { tail, read: piece } of inOrder(tails, { atOnce: READ_AT_ONCE }, read)) {
    if (typeof piece === 'string') passed.push({ tail, problem: piece })
    else if (branches.add(piece)) reached = Math.max(reached, piece.to)
    else if (piece.from > reached) passed.push({ tail, problem: null })
    else passed.push({ tail, problem: `${piece.key} does not go on from what is stored in front of it` })
  }
  const known = branches.inOrder()
  const gone = passed.filter(({ tail }) => !isHeld(known, tail, start))
  if (gone.length === 0) return null
  const problems = gone.flatMap(({ problem }) => problem ?? [])
  const behind = gone.find(({ problem }) => problem === null)
  const end = formatLsn(start + BigInt(reached))
  if (behind) {
    const goOn = formatLsn(behind.tail.from)
    problems.push(`WAL of timeline ${timeline} is missing from ${end} to ${goOn}, between tails of ${name}`)
  }
  return { timeline, from: gone[0]!.tail.from, to: start + BigInt(segmentBytes), problems }
}

/** A tail with its bytes, or what is wrong with it. */
async function readTail(
  archive: Archive,
  { object, from, to, mark }: PlacedTail,
  start: Lsn,
): Promise<TailPiece | string> {
  const { key, storedAt } = object
  try {
    const raw = await decompress(await archive.read(object), key, Number(to - from))
    if (BigInt(raw.length) !== to - from) return wrongLength(key, raw.length)
    return { key, from: Number(from - start), to: Number(to - start), mark, storedAt, raw }
  } catch (thrown) {
    return damage(thrown)
  }
}

export const wrongLength = (key: string, bytes: number): string =>
  `${key} holds ${bytes} bytes, not those that its name says`

/** Whether another tail has the same bytes: the mark is that of everything up to its end. */
function isHeld(branches: readonly TailBranch[], { to, mark }: PlacedTail, start: Lsn): boolean {
  const length = Number(to - start)
  return branches.some(({ bytes }) => {
    if (bytes.length < length) return false
    return sha12(createHash('sha256').update(bytes.subarray(0, length)).digest()) === mark
  })
}
