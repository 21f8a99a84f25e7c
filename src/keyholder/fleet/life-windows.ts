import { formatLsn, parseLsn } from '../../wal/lsn.js'
import type { ListedHome } from '../list-server.js'
import type { VerifyResult } from '../verify/stored-verify.js'
import type { LifeItem } from './life-items.js'
import type { BackupReach, LifeWal } from './life-wal.js'
import type { StatusWindow } from './status-report.js'

/** A base backup and how far it can be recovered; null: not at all. */
export interface ReachedBackup {
  item: Pick<LifeItem, 'id' | 'place' | 'stoppedAt'>
  reach: BackupReach | null
}

/** How far each base backup reaches. */
export async function reachAll(bases: readonly ReachedBackup['item'][], wal: LifeWal): Promise<ReachedBackup[]> {
  const found: ReachedBackup[] = []
  for (const item of bases) found.push({ item, reach: item.place && (await wal.reach(item.place)) })
  return found
}

/** Windows, oldest first: backups whose WAL ends at the same place share one, which begins with the oldest of them. */
export function windowsOf(
  reached: readonly ReachedBackup[],
  wal: LifeWal,
  verified: VerifyResult | null,
): StatusWindow[] {
  const windows = new Map<string, StatusWindow>()
  for (const { item, reach } of reached) {
    if (!reach || !item.place || !item.stoppedAt) continue
    // Newest first, so that what is set last begins earliest.
    windows.set(`${reach.timeline}/${reach.end}`, {
      backup_id: item.id,
      from_at: item.stoppedAt.toISOString(),
      from_lsn: formatLsn(item.place.stopLsn),
      to_at: endOf(reach, item, reached, wal).toISOString(),
      to_lsn: formatLsn(reach.end),
      timeline: reach.timeline,
      ...checkedOf(reach, wal, verified),
    })
  }
  return inOrderOfTime([...windows.values()])
}

/** The same of what listHome() found, which has looked at every name and read the last commits. */
export function listedWindows({ backups }: ListedHome): StatusWindow[] {
  const windows = new Map<string, StatusWindow>()
  for (const { backup_id, window } of backups) {
    if (!window) continue
    windows.set(`${window.timeline}/${window.to_lsn}`, { backup_id, ...window, checked: 'listed', checked_to_at: null })
  }
  return inOrderOfTime([...windows.values()])
}

const inOrderOfTime = (windows: StatusWindow[]): StatusWindow[] =>
  windows.sort((a, b) => Date.parse(a.to_at) - Date.parse(b.to_at) || Date.parse(a.from_at) - Date.parse(b.from_at))

/**
 * When the last WAL before a position was stored. In the middle of a long row no object was looked at: then it is when the
 * last backup that lies before it ended, which is earlier.
 */
function endOf(
  { end, timeline }: BackupReach,
  item: ReachedBackup['item'],
  reached: readonly ReachedBackup[],
  wal: LifeWal,
): Date {
  const extent = wal.timelines.find((one) => one.timeline === timeline)
  const isLast = extent?.runs.at(-1)?.to === end
  const storedAt = isLast ? extent.newest.object.storedAt : extent?.segments?.storedAt(end)
  const inside = reached.filter(({ reach }) => reach?.end === end && reach.timeline === timeline)
  const ended = inside.map((one) => one.item.stoppedAt?.getTime() ?? 0)
  return new Date(Math.max(storedAt?.getTime() ?? 0, item.stoppedAt!.getTime(), ...ended))
}

function checkedOf(
  { end, timeline, way }: BackupReach,
  wal: LifeWal,
  verified: VerifyResult | null,
): Pick<StatusWindow, 'checked' | 'checked_to_at'> {
  if (wal.isListed(way)) return { checked: 'listed', checked_to_at: null }
  const seen = verified?.wal.find((one) => one.timeline === timeline)
  if (!verified || !seen) return { checked: 'no', checked_to_at: null }
  return { checked: 'verified', checked_to_at: parseLsn(seen.to_lsn) >= end ? null : verified.verified_at }
}
