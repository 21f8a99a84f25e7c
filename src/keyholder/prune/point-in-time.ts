import type { Lsn } from '../../wal/lsn.js'
import type { WalMap } from '../wal-map.js'
import { findRoute, type Route } from '../wal-route.js'
import { damageAsNull } from '../damage.js'
import { uidOf, type StoredFolder } from './stored-folder.js'
import type { Survey } from './survey.js'

/** The moment from which on a backup can be restored, by the later of the server's clock and the archive's. */
export function momentOf({ storedAt, place }: StoredFolder): number {
  return Math.max(storedAt.getTime(), place?.stoppedAt.getTime() ?? 0)
}

/**
 * Base backups that the window from `since` on needs, by uidOf(), each with the reason.
 *
 * For each timeline that was written in the window: the newest backup from before it that leads there, and the first one
 * behind each gap. Where two servers wrote the same WAL in the window, all that are good: no rule can know which is wanted.
 */
export async function neededForWindow(
  wal: WalMap,
  survey: Survey,
  folders: readonly StoredFolder[],
  since: Date,
): Promise<Map<string, string>> {
  const good = folders.filter(({ state, place }) => state === 'good' && place !== null)
  const needed = new Map<string, string>()
  for (const [timeline, lastStoredAt] of survey.walStoredAt) {
    if (lastStoredAt < since) continue
    if (await wroteTwice(wal, survey, timeline, good, since)) {
      for (const folder of good) needed.set(uidOf(folder), 'two servers wrote WAL of the point-in-time window')
      return needed
    }
    const leading = await routesTo(wal, good, timeline)
    const before = leading.filter(({ folder }) => momentOf(folder) <= since.getTime())
    const within = leading.filter(({ folder }) => momentOf(folder) > since.getTime())
    let end: Lsn = -1n
    // Backwards: an older one leads further only where the newer one is another server's.
    for (const { folder, route } of [...before.toReversed(), ...within]) {
      if (route.end <= end) continue
      needed.set(uidOf(folder), `the point-in-time window begins with it on timeline ${timeline}`)
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

async function wroteTwice(
  wal: WalMap,
  survey: Survey,
  timeline: number,
  good: readonly StoredFolder[],
  since: Date,
): Promise<boolean> {
  const promotions = survey.histories.get(timeline)?.length ?? 0
  const own = good.filter(({ place }) => place!.timeline === timeline)
  // A backup on it knows its own server, one from before does not.
  if (promotions > 1 && !own.some((folder) => momentOf(folder) <= since.getTime())) return true
  for (const { contents } of (await wal.wal(timeline, 0n)).forked.values()) {
    if (contents.length > 1 && contents.some(({ object }) => object.storedAt >= since)) return true
  }
  return false
}
