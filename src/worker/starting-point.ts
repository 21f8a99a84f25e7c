import type { Catalog } from '../catalog/catalog.js'
import type { ReplicationConnection } from '../source/replication-connection.js'
import type { ServerIdentity } from '../source/server-identity.js'
import { readAncestors } from '../source/timeline-files.js'
import { hasWal } from '../source/wal-probe.js'
import { formatLsn, type Lsn } from '../wal/lsn.js'
import { segmentStart } from '../wal/segment.js'
import { openSlot } from './open-slot.js'
import type { WalKeeper } from './wal-keeper.js'

/** Where streaming begins. */
export interface StreamPoint {
  timeline: number
  /** first byte of a segment */
  start: Lsn
  /** all WAL before it is stored */
  stored: Lsn
  /** where the segment begins in which the slot stands */
  slotStart: Lsn
}

/** WAL that lies before a point, is not stored, and never will be. */
export interface WalLoss {
  timeline: number
  /** where WAL is stored again from */
  to: Lsn
  reason: string
  /** whether a base backup that runs now has not begun to read */
  runningBeginsAfter: boolean
}

/**
 * Where the slot stands, or before it: a worker that was killed may have stored segments whose rows it still held, and a
 * slot that was dropped leaves WAL on the server for a while. Such segments are streamed as long as the server has them,
 * unless they were given up for the room that they take.
 *
 * `loss` is what then remains lost, if anything is.
 */
export async function findStartingPoint(
  keeper: WalKeeper,
  connection: ReplicationConnection,
  { systemIdentifier, segmentBytes }: ServerIdentity,
): Promise<{ point: StreamPoint; loss: WalLoss | null }> {
  const { settings, catalog, source, log } = keeper.options
  const { slot } = settings()
  const { restartLsn, timeline, madeBecause } = await openSlot(connection, source, slot, log)
  // Kept until the loss is recorded, whatever fails before that. Who gave the slot up knows better why it is not there.
  if (madeBecause !== null && !keeper.gaveUp) keeper.lossReason = madeBecause
  const slotStart = segmentStart(restartLsn, segmentBytes)
  const slotPoint = { timeline, start: slotStart, stored: restartLsn, slotStart }

  // It may be there until the next checkpoint. Streamed again it would move the slot back, which keeps it from then on.
  if (keeper.gaveUp) keeper.goneBefore = slotStart

  const hole = await firstHole(keeper, systemIdentifier, slotPoint)
  if (hole !== null) return { point: { timeline, start: hole, stored: hole, slotStart }, loss: null }
  const stored = await endOfStored(catalog, connection, { systemIdentifier, segmentBytes, timeline })
  if (stored !== null && stored.lsn >= slotStart) {
    keeper.lossReason = null
    keeper.gaveUp = false
    // What archive-wal stored while no worker ran is not stored again.
    const whole = await catalog.coversWal(systemIdentifier, timeline, slotStart, stored.lsn)
    if (!whole) return { point: slotPoint, loss: null }
    const beyondSlot = stored.lsn > restartLsn ? stored.lsn : restartLsn
    return { point: { ...slotPoint, start: stored.lsn, stored: beyondSlot }, loss: null }
  }
  const stillThere =
    stored !== null && stored.lsn >= keeper.goneBefore && (await hasWal(source.url, stored.timeline, stored.lsn))
  // A slot that was made anew says nothing of what is stored before it; what has rows is.
  if (stillThere) {
    return { point: { timeline: stored.timeline, start: stored.lsn, stored: stored.lsn, slotStart }, loss: null }
  }
  keeper.goneBefore = slotStart
  const reason = keeper.lossReason ?? `the server no longer had WAL from before the replication slot ${slot}`
  const loss = { timeline, to: slotStart, reason, runningBeginsAfter: !keeper.slotWasReady }
  return { point: slotPoint, loss }
}

/**
 * Where the stored WAL of a timeline is to go on: on the timeline that it left, while nothing is stored of itself.
 *
 * Null when nothing was ever stored.
 */
async function endOfStored(
  catalog: Catalog,
  connection: ReplicationConnection,
  { systemIdentifier, segmentBytes, timeline }: { systemIdentifier: string; segmentBytes: number; timeline: number },
): Promise<{ timeline: number; lsn: Lsn } | null> {
  const own = await catalog.walCoveredTo(systemIdentifier, timeline)
  if (own !== null) return { timeline, lsn: own }
  let child = timeline
  for (const ancestor of await readAncestors(connection, timeline)) {
    const lsn = await catalog.walCoveredTo(systemIdentifier, ancestor.timeline)
    // The child's first segment repeats what the ancestor wrote of it, and is never stored as the ancestor's.
    const childStart = segmentStart(ancestor.switchLsn, segmentBytes)
    if (lsn !== null)
      return lsn < childStart ? { timeline: ancestor.timeline, lsn } : { timeline: child, lsn: childStart }
    child = ancestor.timeline
  }
  return null
}

/**
 * Where WAL begins that is missing among what is stored, and that the server still has; null when there is none.
 *
 * What it has no more is lost, and said to be: such as when somebody's archive_command stored nothing for a while.
 */
async function firstHole(
  keeper: WalKeeper,
  systemIdentifier: string,
  { timeline, slotStart }: StreamPoint,
): Promise<Lsn | null> {
  const { catalog, source } = keeper.options
  for (const hole of await catalog.walHoles(systemIdentifier, timeline, slotStart)) {
    const wanted = hole.timeline === timeline && hole.from >= keeper.goneBefore
    if (wanted && (await hasWal(source.url, timeline, hole.from))) return hole.from
    const reason = (keeper.gaveUp && keeper.lossReason) || 'it is not stored, and the server no longer had it'
    await recordGap(keeper, systemIdentifier, { ...hole, reason, runningBeginsAfter: !keeper.slotWasReady })
  }
  return null
}

/** Writes a loss down, once; nothing happens when nothing was stored before it. */
export async function recordLoss(keeper: WalKeeper, systemIdentifier: string, loss: WalLoss): Promise<void> {
  await recordGap(keeper, systemIdentifier, loss)
  keeper.lossReason = null
  keeper.gaveUp = false
}

async function recordGap(keeper: WalKeeper, systemIdentifier: string, loss: WalLoss): Promise<void> {
  const { catalog, log } = keeper.options
  const from = await catalog.recordGap(systemIdentifier, loss)
  if (from === null) return
  log.error(
    { from: formatLsn(from), to: formatLsn(loss.to), timeline: loss.timeline, reason: loss.reason },
    'WAL is lost: there is a gap in what is stored, and only a new base backup gets past it',
  )
}
