import { rename, rm, writeFile } from 'node:fs/promises'
import type { Home } from '../box/key-names.js'
import { PostboxError } from '../errors.js'
import { formatLsn, type Lsn } from '../wal/lsn.js'
import { checkSegment, namedSegment, readSegmentHeader } from '../wal/page.js'
import type { Archive } from './archive.js'
import { readTails } from './stored-tails.js'
import { findHistories, findSegment, hasAnything, readHistory, readSegment, type StoredSegment } from './stored-wal.js'
import type { WalChoice } from './wal-choice.js'

const HISTORY = /^([0-9A-F]{8})\.history$/
const SEGMENT = /^[0-9A-F]{24}$/

export interface WalFileWanted {
  archive: Archive
  home: Home
  name: string
  warn: (text: string) => void
  /** which objects to take where two servers wrote the same WAL; null: what was stored first */
  choice: WalChoice | null
}

/**
 * Puts a WAL file where Postgres wants it. Returns its size, or null when the archive surely does not have it.
 *
 * A segment that is not stored whole is joined from its tails, zeros behind them. To a recovery that is the end of WAL; a
 * standby asks for it again, and then gets more.
 *
 * Names are matched whole: `.backup` and `.partial` files are never in the archive. Throws for all else, a damaged
 * object and an archive without anything of this server included: Postgres must not take those for the end of WAL.
 */
export async function fetchWalFile(
  { archive, home, name, warn, choice }: WalFileWanted,
  to: string,
): Promise<number | null> {
  const content = await readWalFile({ archive, home, name, warn, choice })
  if (content === null) {
    await checkHome(archive, home)
    return null
  }
  // Postgres looks as soon as we have ended; until then there is either nothing or all of it.
  const unfinished = `${to}.postbox`
  try {
    await writeFile(unfinished, content, { mode: 0o600 })
    await rename(unfinished, to)
  } catch (cause) {
    await rm(unfinished, { force: true })
    const hint = 'Mend the disk or the rights of pg_wal, then start Postgres again.'
    throw new PostboxError('restore_failed', `${to} cannot be written: ${(cause as Error).message}`, hint, { cause })
  }
  return content.length
}

async function readWalFile(wanted: WalFileWanted): Promise<Buffer | null> {
  const { archive, home, name, warn, choice } = wanted
  const history = HISTORY.exec(name)
  if (history) return readHistoryOf(wanted, Number.parseInt(history[1]!, 16))
  if (!SEGMENT.test(name) || choice?.isBehind(name)) return null
  const beginning = choice?.beginningOf(name)
  if (beginning) return readBeginning(wanted, beginning)
  const whole = await readWhole(wanted)
  if (whole) return whole
  const { partial } = await readTails(archive, home, name, { warn, mark: choice?.tailMark(name) ?? null })
  // It may have become whole meanwhile, and its tails pruned: then Postgres must not take their end for the end of WAL.
  const wholeNow = await readWhole(wanted)
  if (wholeNow || !partial) return wholeNow
  if (partial.stored.length < partial.padded.length) {
    warn(`${name} is not stored whole; its tails hold it up to ${formatLsn(partial.end)}`)
  }
  return partial.padded
}

/** The end of a timeline that was left, out of the segment that goes on from it; zeros behind it. */
async function readBeginning(wanted: WalFileWanted, { name, upTo }: { name: string; upTo: Lsn }): Promise<Buffer> {
  const content = await readWalFile({ ...wanted, name })
  if (!content) {
    const message = `segment ${name}, which holds the end of ${wanted.name}, is not stored any more`
    throw new PostboxError('wal_missing', message, 'Restore again.')
  }
  return Buffer.from(content).fill(0, Number(upTo - readSegmentHeader(content).start))
}

async function readHistoryOf({ archive, home, choice }: WalFileWanted, timeline: number): Promise<Buffer | null> {
  const histories = await findHistories(archive, home, timeline)
  const history = choice ? choice.history(timeline, histories) : histories[0]
  return history ? readHistory(archive, history) : null
}

async function readWhole({ archive, home, name, warn, choice }: WalFileWanted): Promise<Buffer | null> {
  const contents = await findSegment(archive, home, name)
  const segment = choice ? choice.segment(name, contents) : contents[0]
  if (!segment) return null
  // Who restores with a choice was told already.
  for (const other of choice ? [] : contents.slice(1)) {
    warn(`${other.object.key} claims ${name} with other bytes; taking ${segment.object.key}`)
  }
  return readVerified(archive, home, segment)
}

/** Raw bytes of a segment that is what it claims to be, by its hash and by its header. */
export async function readVerified(archive: Archive, home: Home, segment: StoredSegment): Promise<Buffer> {
  const raw = await readSegment(archive, segment)
  const { segmentBytes } = readSegmentHeader(raw)
  checkSegment(raw, namedSegment(segment.name, segmentBytes), segmentBytes, home.systemIdentifier)
  return raw
}

async function checkHome(archive: Archive, home: Home): Promise<void> {
  if (await hasAnything(archive, home)) return
  const what = `system identifier ${home.systemIdentifier} of server ${home.server}`
  const hint = 'Check --server, --system-identifier and --bucket in restore_command.'
  throw new PostboxError('wal_missing', `nothing at all is stored of ${what}`, hint)
}
