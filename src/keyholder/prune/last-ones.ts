import type { Circumstances } from './decisions.js'
import { uidOf, type StoredFolder } from './stored-folder.js'

/** Backups or dumps that stay because nothing could stand in for them, by uidOf(). */
export interface LastOnes {
  /** the newest good one of each life that no later one is proved to go on from */
  ofLives: ReadonlySet<string>
  /** what not even --drop takes: the newest good one of all, unless that of another life stays */
  undroppable: ReadonlySet<string>
}

/**
 * The last ones of each series.
 *
 * Whoever has a grant can post a life under any system identifier with backups that look good. So a life is over only when a
 * drill has proved a backup of another one that was stored after all that is good in it.
 */
export function lastOnes(
  folders: readonly StoredFolder[],
  { proved, drop }: Pick<Circumstances, 'proved' | 'drop'>,
): LastOnes {
  const ofLives = new Set<string>()
  const undroppable = new Set<string>()
  for (const series of Map.groupBy(folders, (one) => one.series).values()) {
    const newest = newestOf(series, 'good')
    const lives = [...Map.groupBy(series, ({ home }) => home.systemIdentifier).values()]
    const lasts = lives
      .flatMap((life) => newestOf(life, 'good') ?? newestOf(life, 'unusable') ?? [])
      .filter((one) => one === newest || !isGoneOnFrom(one, proved))
    for (const one of lasts) ofLives.add(uidOf(one))
    const stays = lasts.some((one) => one.state === 'good' && !drop.has(uidOf(one)))
    if (newest && (!stays || !drop.has(uidOf(newest)))) undroppable.add(uidOf(newest))
  }
  return { ofLives, undroppable }
}

function isGoneOnFrom({ home, storedAt }: StoredFolder, proved: ReadonlyMap<string, Date>): boolean {
  return [...proved].some(([system, at]) => system !== home.systemIdentifier && at > storedAt)
}

function newestOf(series: readonly StoredFolder[], state: StoredFolder['state']): StoredFolder | null {
  const all = series.filter((one) => one.state === state)
  all.sort((a, b) => b.storedAt.getTime() - a.storedAt.getTime() || (uidOf(a) > uidOf(b) ? -1 : 1))
  return all[0] ?? null
}
