import type { Lsn } from '../../wal/lsn.js'
import type { WalMap } from '../wal-map.js'
import { findRoute, type Route } from '../wal-route.js'
import { damageAsNull } from '../damage.js'
import type { StoredFolder } from './stored-folder.js'
import type { WalSurvey } from './wal-survey.js'

/** The moment from which on a backup can be restored, by the later of the server's clock and the archive's. */
export function momentOf({ storedAt, place }: StoredFolder): number {
  return Math.max(storedAt.getTime(), place?.stoppedAt.getTime() ?? 0)
}

/**
 * Base backups that the window from `since` on needs, each with the reason.
 *
 * For each timeline that was written in the window: the newest backup from before it that leads there, and the first one
 * behind each gap. Where two servers wrote the same WAL in the window, all that are good: no rule can know which is wanted.
 */
export async function neededForWindow(
  wal: WalMap,
  survey: WalSurvey,
  folders: readonly StoredFolder[],
  since: Date,
): Promise<Map<string, string>> {
  const good = folders.filter(({ state, place }) => state === 'good' && place !== null)
  const needed = new Map<string, string>()
  for (const [timeline, lastStoredAt] of survey.lastStoredAt) {
    if (lastStoredAt < since) continue
    if (await wroteTwice(wal, survey, timeline, since)) {
      for (const { id } of good) needed.set(id, 'two servers wrote WAL of the point-in-time window')
      return needed
    }
    const leading = await routesTo(wal, good, timeline)
    const before = leading.findLastIndex(({ folder }) => momentOf(folder) <= since.getTime())
    let end: Lsn = -1n
    for (const { folder, route } of leading.slice(Math.max(0, before))) {
      if (route.end <= end) continue
      needed.set(folder.id, `the point-in-time window begins with it on timeline ${timeline}`)
      end = route.end
    }
  }
  return needed
}

/** Backups that lead to a timeline, and their ways there, oldest first. */
async function routesTo(wal: WalMap, good: readonly StoredFolder[], timeline: number) {
  const leading: { folder: StoredFolder; route: Route }[] = []
  for (const folder of good) {
    const route = await findRoute(wal, folder.place!, timeline).catch(damageAsNull)
    if (route?.arrived && route.end >= folder.place!.stopLsn) leading.push({ folder, route })
  }
  return leading.sort((a, b) => momentOf(a.folder) - momentOf(b.folder))
}

async function wroteTwice(wal: WalMap, survey: WalSurvey, timeline: number, since: Date): Promise<boolean> {
  if ((survey.histories.get(timeline)?.length ?? 0) > 1) return true
  for (const { contents } of (await wal.wal(timeline, 0n)).forked.values()) {
    if (contents.length > 1 && contents.some(({ object }) => object.storedAt >= since)) return true
  }
  return false
}
