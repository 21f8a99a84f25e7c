/** What to keep, of base backups or of dumps. */
export interface RetentionRules {
  /** the newest so many */
  last: number
  /** all that were stored in the last so many seconds */
  forSeconds: number
  /** the first of each of the newest so many days, ISO weeks, months and years that have one, in UTC */
  days: number
  weeks: number
  months: number
  years: number
  /** ids that stay, whatever else is said */
  hold: readonly string[]
}

/** A backup or dump that can be restored, as the rules see it. */
export interface Candidate {
  id: string
  /** when its manifest was stored, by the archive's clock: the server cannot choose it */
  storedAt: Date
}

const DAY_MS = 86_400_000

/** The reason for which the newest is kept, whatever the rules. */
export const NEWEST = 'the last good one'

const PERIODS = [
  { rule: 'days', name: 'day', of: (at: Date) => at.toISOString().slice(0, 10) },
  { rule: 'weeks', name: 'week', of: isoWeek },
  { rule: 'months', name: 'month', of: (at: Date) => at.toISOString().slice(0, 7) },
  { rule: 'years', name: 'year', of: (at: Date) => at.toISOString().slice(0, 4) },
] as const

/**
 * Which candidates the rules keep, each with the reasons: phrases that complete "kept because it is …".
 *
 * Of a period the first one counts: it stays the first, whatever is stored later. Periods without any are not counted, so
 * that a server which is away for long loses nothing by that. The newest is kept always.
 */
export function keptByRules(
  candidates: readonly Candidate[],
  rules: Omit<RetentionRules, 'hold'>,
  now: Date,
): Map<string, string[]> {
  const oldestFirst = [...candidates].sort(byTime)
  const newestFirst = oldestFirst.toReversed()
  const kept = new Map<string, string[]>()
  const keep = ({ id }: Candidate, why: string) => void kept.set(id, [...(kept.get(id) ?? []), why])

  if (newestFirst[0]) keep(newestFirst[0], NEWEST)
  if (rules.last > 0) for (const one of newestFirst.slice(0, rules.last)) keep(one, `one of the last ${rules.last}`)
  for (const one of newestFirst) {
    const ageMs = now.getTime() - one.storedAt.getTime()
    if (ageMs <= rules.forSeconds * 1000) keep(one, `not ${lengthOf(rules.forSeconds)} old`)
  }
  for (const { rule, name, of } of PERIODS) {
    const firsts = new Map<string, Candidate>()
    for (const one of oldestFirst) if (!firsts.has(of(one.storedAt))) firsts.set(of(one.storedAt), one)
    const newest = [...firsts].slice(Math.max(0, firsts.size - rules[rule]))
    if (rules[rule] > 0) for (const [period, one] of newest) keep(one, `the first of ${name} ${period}`)
  }
  return kept
}

function byTime(a: Candidate, b: Candidate): number {
  return a.storedAt.getTime() - b.storedAt.getTime() || (a.id < b.id ? -1 : 1)
}

function lengthOf(seconds: number): string {
  return seconds % 86_400 === 0 ? `${seconds / 86_400} days` : `${Math.round(seconds / 3600)} hours`
}

/** Such as 2026-W53: weeks begin on Monday, and belong to the year of their Thursday. */
export function isoWeek(at: Date): string {
  const midnight = Date.UTC(at.getUTCFullYear(), at.getUTCMonth(), at.getUTCDate())
  const thursday = new Date(midnight + (3 - ((at.getUTCDay() + 6) % 7)) * DAY_MS)
  const week = 1 + Math.floor((thursday.getTime() - Date.UTC(thursday.getUTCFullYear(), 0, 1)) / (7 * DAY_MS))
  return `${thursday.getUTCFullYear()}-W${String(week).padStart(2, '0')}`
}

/** Ids and those of everything that they build on, as far as it is known. */
export function withParents(ids: Iterable<string>, parentOf: (id: string) => string | null): Set<string> {
  const all = new Set<string>()
  for (let id of ids) {
    for (let next: string | null = id; next !== null && !all.has(next); next = parentOf(id)) all.add((id = next))
  }
  return all
}
