import type { Lsn } from '../wal/lsn.js'
import type { BackupPlace } from './backup-place.js'
import { damageAsNull } from './damage.js'
import type { TimelineHistories } from './timeline-histories.js'
import { findWay } from './wal-chain.js'

/**
 * Behind which position a gap in a timeline matters: the least one at which a backup begins that leads over it, whatever
 * its name says of when it was made.
 *
 * Of a timeline that no backup is known to lead to, the least one of all.
 */
export async function gapFloor(
  histories: TimelineHistories,
  backups: readonly BackupPlace[],
  timeline: number,
  segmentBytes: number,
): Promise<Lsn> {
  const history = timeline === 1 ? null : await histories.of(timeline).catch(damageAsNull)
  const floors = backups.flatMap((backup) => {
    if (backup.timeline === timeline) return [backup.startLsn]
    const way = history && findWay(backup, timeline, history.switches, segmentBytes)
    return way ? [way.at(-1)!.from] : []
  })
  return least(floors) ?? least(backups.map(({ startLsn }) => startLsn)) ?? 0n
}

function least(positions: readonly Lsn[]): Lsn | null {
  return positions.reduce<Lsn | null>((low, one) => (low === null || one < low ? one : low), null)
}
