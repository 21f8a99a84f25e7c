import type { Catalog } from '../catalog/catalog.js'
import type { ReplicationConnection } from '../source/replication-connection.js'
import type { ServerIdentity } from '../source/server-identity.js'
import { readAncestors } from '../source/timeline-files.js'
import { hasWal } from '../source/wal-probe.js'
import type { Lsn } from '../wal/lsn.js'
import { segmentStart } from '../wal/segment.js'
import { openSlot } from './open-slot.js'
import { firstHole } from './wal-holes.js'
import type { WalKeeper, WalPlace } from './wal-keeper.js'
import type { WalLoss } from './wal-loss.js'

/** Where streaming begins. */
export interface StreamPoint {
  timeline: number
  /** first byte of a segment */
  start: Lsn
  /** all WAL before it is stored */
  stored: Lsn
  /** whether only the slot says so, which may have been made there by somebody */
  unproven: boolean
  /** where the segment begins in which the slot stands */
  slotStart: Lsn
}

/** What a session begins with. */
export interface Beginning {
  point: StreamPoint
  /** what is lost before it, if anything is */
  loss: WalLoss | null
  /** where the segment begins in which the slot stands */
  slot: WalPlace
}

/**
 * Where the slot stands, or before it: a worker that was killed may have stored segments whose rows it still held, and a
 * slot that was dropped leaves WAL on the server for a while. Such segments are streamed as long as the server has them,
 * unless they were given up for the room that they take.
 */
export async function findStartingPoint(
  keeper: WalKeeper,
  connection: ReplicationConnection,
  server: ServerIdentity,
): Promise<Beginning> {
  const { systemIdentifier, segmentBytes } = server
  const { settings, catalog, source, log } = keeper.options
  const { slot } = settings()
  const { restartLsn, timeline, madeBecause } = await openSlot(connection, source, slot, log)
  // Kept until the loss is recorded, whatever fails before that. Who gave the slot up knows better why it is not there.
  if (madeBecause !== null && !keeper.gaveUp) keeper.lossReason = madeBecause
  if (madeBecause !== null) await catalog.reportSlotMade(restartLsn)
  const isFresh = madeBecause !== null || (await catalog.slotMadeAt()) === restartLsn
  const slotStart = segmentStart(restartLsn, segmentBytes)
  const at = { timeline, lsn: slotStart }
  // A slot stands where it was told that all is stored, or where the server made it, which is never where a segment begins.
  const slotPoint = {
    timeline,
    start: slotStart,
    stored: isFresh ? slotStart : restartLsn,
    unproven: restartLsn !== slotStart,
    slotStart,
  }

  // It may be there until the next checkpoint. Streamed again it would move the slot back, which keeps it from then on.
  if (keeper.gaveUp) keeper.goneBefore = slotStart

  const hole = await firstHole(keeper, connection, server, at)
  if (hole !== null) return { point: behindSlot(hole, at), loss: null, slot: at }
  const stored = await endOfStored(catalog, connection, { systemIdentifier, segmentBytes, timeline })
  if (stored !== null && stored.lsn >= slotStart) {
    keeper.lossReason = null
    keeper.gaveUp = false
    // What archive-wal stored while no worker ran is not stored again.
    const whole = await catalog.coversWal(systemIdentifier, timeline, slotStart, stored.lsn)
    if (!whole) return { point: slotPoint, loss: null, slot: at }
    const proven = isFresh || stored.lsn >= restartLsn
    const point = proven ? { ...slotPoint, start: stored.lsn, stored: stored.lsn, unproven: false } : slotPoint
    return { point, loss: null, slot: at }
  }
  const stillThere =
    stored !== null &&
    stored.lsn >= keeper.goneBefore &&
    (await hasWal(source.url, stored.timeline, stored.lsn, keeper.sessionSignal))
  // A slot that was made anew says nothing of what is stored before it; what has rows is.
  if (stillThere) return { point: behindSlot(stored, at), loss: null, slot: at }
  keeper.goneBefore = slotStart
  const reason = keeper.lossReason ?? `the server no longer had WAL from before the replication slot ${slot}`
  const loss = { timeline, to: slotStart, reason, runningBeginsAfter: !keeper.slotWasReady }
  return { point: slotPoint, loss, slot: at }
}

/** Where WAL goes on that is stored up to a place, before the slot. */
export function behindSlot({ timeline, lsn }: WalPlace, slot: WalPlace): StreamPoint {
  return { timeline, start: lsn, stored: lsn, unproven: false, slotStart: slot.lsn }
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
): Promise<WalPlace | null> {
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
