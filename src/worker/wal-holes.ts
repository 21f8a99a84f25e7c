import type { WalHole } from '../catalog/gaps.js'
import type { ReplicationConnection } from '../source/replication-connection.js'
import type { ServerIdentity } from '../source/server-identity.js'
import { readAncestors } from '../source/timeline-files.js'
import { hasWal } from '../source/wal-probe.js'
import type { TimelineSwitch } from '../wal/timeline-history.js'
import { segmentStart } from '../wal/segment.js'
import type { WalKeeper, WalPlace } from './wal-keeper.js'
import { recordGap } from './wal-loss.js'

/**
 * Where WAL begins that is missing among what is stored, and that the server still has; null when there is none.
 *
 * What it has no more is lost, and said to be: such as when somebody's archive_command stored nothing for a while.
 *
 * @param slot where the segment begins in which the slot stands: what is missing from there on is streamed anyway
 */
export async function firstHole(
  keeper: WalKeeper,
  connection: ReplicationConnection,
  server: ServerIdentity,
  slot: WalPlace,
): Promise<WalPlace | null> {
  const { catalog, source } = keeper.options
  const holes = await catalog.walHoles(server.systemIdentifier, slot.timeline, slot.lsn)
  const elsewhere = holes.some(({ timeline }) => timeline !== server.timeline)
  const ancestors = elsewhere ? await readAncestors(connection, server.timeline) : []
  for (const hole of holes) {
    const place = placeOf(hole, server, ancestors)
    if (place && isAhead(slot, place)) continue
    const isWanted = place !== null && place.lsn >= keeper.goneBefore
    if (isWanted && (await hasWal(source.url, place.timeline, place.lsn, keeper.sessionSignal))) return place
    const reason = (keeper.gaveUp && keeper.lossReason) || 'it is not stored, and the server no longer had it'
    const to = hole.timeline === slot.timeline && hole.to > slot.lsn ? slot.lsn : hole.to
    const loss = { timeline: hole.timeline, to, reason, runningBeginsAfter: !keeper.slotWasReady }
    await recordGap(keeper, server.systemIdentifier, loss)
  }
  return null
}

/** Whether the place is reached by whoever streams from the slot on. A later timeline has the higher number. */
function isAhead(slot: WalPlace, place: WalPlace): boolean {
  return place.timeline > slot.timeline || (place.timeline === slot.timeline && place.lsn >= slot.lsn)
}

/** Where the server would be asked for it; null for WAL that is no part of its history. */
function placeOf(
  hole: WalHole,
  { timeline, segmentBytes }: ServerIdentity,
  ancestors: readonly TimelineSwitch[],
): WalPlace | null {
  const lsn = segmentStart(hole.from, segmentBytes)
  if (hole.timeline === timeline) return { timeline, lsn }
  let child = timeline
  for (const ancestor of ancestors) {
    // The child's first segment repeats what the ancestor wrote of it.
    const childStart = segmentStart(ancestor.switchLsn, segmentBytes)
    if (ancestor.timeline !== hole.timeline) child = ancestor.timeline
    else if (lsn < childStart) return { timeline: hole.timeline, lsn }
    else return hole.to <= ancestor.switchLsn ? { timeline: child, lsn: childStart } : null
  }
  return null
}
