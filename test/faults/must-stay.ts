import type { Retention } from '../../src/keyholder/prune/retention-schema.js'
import type { MadeBackup } from './server-history.js'

const DAY = 86_400_000
const dayOf = (at: Date): number => Math.floor(at.getTime() / DAY)
/** The first of January 1970 was a Thursday. */
const weekOf = (at: Date): number => Math.floor((dayOf(at) + 3) / 7)
const keyOf = ({ home, id }: MadeBackup): string => `${home.systemIdentifier}/${id}`

/**
 * What a retention without a point-in-time window keeps of what is stored, oldest first: by code that shares nothing with
 * prune's. `unreadable`: its manifest cannot be read.
 */
export function mustStay(
  stored: readonly MadeBackup[],
  { backups }: Retention,
  now: Date,
  unreadable: MadeBackup | null,
): MadeBackup[] {
  const rules = backups!
  const isOdd = (one: MadeBackup) => one.doubtful || one === unreadable
  const good = stored.filter((one) => !isOdd(one))
  const kept = new Set(stored.filter((one) => isOdd(one) || rules.hold.includes(one.id)))
  for (const one of good.slice(-rules.last)) kept.add(one)
  for (const one of good) if (now.getTime() - one.storedAt.getTime() <= rules.forSeconds * 1000) kept.add(one)
  for (const [count, periodOf] of [
    [rules.days, dayOf],
    [rules.weeks, weekOf],
  ] as const) {
    const firsts = good.filter((one, at) => at === 0 || periodOf(one.storedAt) !== periodOf(good[at - 1]!.storedAt))
    if (count > 0) for (const one of firsts.slice(-count)) kept.add(one)
  }
  for (const one of lastOfLives(good)) kept.add(one)
  return stored.filter((one) => kept.has(one))
}

/** The newest of each life that no drill of a later backup of another has ended. */
export function lastOfLives(good: readonly MadeBackup[]): MadeBackup[] {
  const last = new Map(good.map((one) => [one.home.systemIdentifier, one]))
  const isOver = (old: MadeBackup) =>
    good.some(
      (one) => one.proved && one.home.systemIdentifier !== old.home.systemIdentifier && one.storedAt > old.storedAt,
    )
  return [...last.values()].filter((one) => one === good.at(-1) || !isOver(one))
}

export const idsOf = (backups: readonly MadeBackup[]): string[] => backups.map(keyOf).sort()
