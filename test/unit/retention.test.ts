import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseKeyholderFile, parseRetentions } from '../../src/keyholder/keyholder-file.js'
import {
  isoWeek,
  keptByRules,
  withParents,
  type Candidate,
  type RetentionRules,
} from '../../src/keyholder/prune/retention.js'

type Rules = Omit<RetentionRules, 'hold'>
const DAY = 86_400_000
const NOW = new Date('2026-11-25T12:00:00Z')
const NONE: Rules = { last: 0, forSeconds: 0, days: 0, weeks: 0, months: 0, years: 0 }

const at = (time: string): Candidate => ({ id: time, storedAt: new Date(time) })
const kept = (candidates: readonly Candidate[], rules: Partial<Rules>, now = NOW): string[] =>
  [...keptByRules(candidates, { ...NONE, ...rules }, now).keys()].sort()

/** Twice a day from so many days ago until now. */
const twiceADay = (days: number): Candidate[] =>
  Array.from({ length: 2 * days }, (_, half) =>
    at(new Date(NOW.getTime() - 6 * 3_600_000 - half * (DAY / 2)).toISOString()),
  )

describe('the rules of a retention', () => {
  test('keep the last so many', () => {
    expect(
      kept([at('2026-01-01T00:00:00Z'), at('2026-03-01T00:00:00Z'), at('2026-02-01T00:00:00Z')], { last: 2 }),
    ).toEqual(['2026-02-01T00:00:00Z', '2026-03-01T00:00:00Z'])
  })

  test('keep all of a length of time', () => {
    const found = kept(twiceADay(30), { forSeconds: 3 * 86_400 })
    expect(found).toHaveLength(6)
    expect(found.every((id) => Date.parse(id) >= NOW.getTime() - 3 * DAY)).toBe(true)
  })

  test('keep the first of each period, which no later one displaces', () => {
    const before = twiceADay(40)
    const days = kept(before, { days: 5 })
    expect(days).toHaveLength(5)
    const later = [...before, at('2026-11-25T11:00:00Z'), at('2026-11-25T11:59:00Z')]
    expect(kept(later, { days: 5 }).filter((id) => id < '2026-11-25T11')).toEqual(expect.arrayContaining(days))
  })

  test('count only periods that have one, so that a server which is away loses nothing', () => {
    const old = [at('2025-01-05T00:00:00Z'), at('2025-02-05T00:00:00Z'), at('2025-03-05T00:00:00Z')]
    expect(kept(old, { days: 3 })).toHaveLength(3)
    expect(kept(old, { months: 2 })).toEqual(['2025-02-05T00:00:00Z', '2025-03-05T00:00:00Z'])
    expect(kept(old, { years: 4 })).toEqual(['2025-01-05T00:00:00Z', '2025-03-05T00:00:00Z'])
  })

  test.each([
    ['2026-12-31T23:00:00Z', '2026-W53'],
    ['2027-01-03T23:59:59Z', '2026-W53'],
    ['2027-01-04T00:00:00Z', '2027-W01'],
    ['2024-12-30T00:00:00Z', '2025-W01'],
    ['2023-01-01T00:00:00Z', '2022-W52'],
  ])('put %s into week %s', (time, week) => {
    expect(isoWeek(new Date(time))).toBe(week)
  })
})

const candidates = fc
  .uniqueArray(fc.integer({ min: 0, max: 800 * 24 }), { maxLength: 60 })
  .map((hours) => hours.map((hour) => at(new Date(NOW.getTime() - hour * 3_600_000).toISOString())))
const few = fc.integer({ min: 0, max: 8 })
const rules: fc.Arbitrary<Rules> = fc.record({
  last: few,
  forSeconds: fc.integer({ min: 0, max: 90 * 86_400 }),
  days: few,
  weeks: few,
  months: few,
  years: few,
})

describe('whatever the rules and the backups', () => {
  test('the newest stays, and at least as many as each rule says, if there are', () => {
    fc.assert(
      fc.property(candidates, rules, (all, by) => {
        const found = kept(all, by)
        const newest = all
          .map(({ id }) => id)
          .sort()
          .at(-1)
        if (newest !== undefined) expect(found).toContain(newest)
        expect(found.length).toBeGreaterThanOrEqual(Math.min(all.length, by.last))
        const dates = (ids: readonly string[]) => new Set(ids.map((id) => id.slice(0, 10))).size
        expect(dates(found)).toBeGreaterThanOrEqual(Math.min(dates(all.map(({ id }) => id)), by.days))
        for (const { id, storedAt } of all) {
          if (NOW.getTime() - storedAt.getTime() <= by.forSeconds * 1000) expect(found).toContain(id)
        }
      }),
    )
  })

  test('asking again after the rest is gone says the same', () => {
    fc.assert(
      fc.property(candidates, rules, (all, by) => {
        const found = kept(all, by)
        expect(
          kept(
            all.filter(({ id }) => found.includes(id)),
            by,
          ),
        ).toEqual(found)
      }),
    )
  })

  test('a wider rule never keeps less', () => {
    fc.assert(
      fc.property(candidates, rules, rules, (all, by, more) => {
        const wider = Object.fromEntries(Object.entries(by).map(([name, n]) => [name, n + more[name as keyof Rules]]))
        expect(kept(all, wider)).toEqual(expect.arrayContaining(kept(all, by)))
      }),
    )
  })

  test('what is stored later takes nothing from the days, weeks, months and years before it', () => {
    fc.assert(
      fc.property(candidates, rules, fc.integer({ min: 1, max: 20 }), (all, by, count) => {
        const byPeriod = { ...by, last: 0, forSeconds: 0 }
        const today = all.filter(({ storedAt }) => NOW.getTime() - storedAt.getTime() < DAY / 2)
        fc.pre(today.length > 0)
        const flood = Array.from({ length: count }, (_, n) => at(new Date(NOW.getTime() - n).toISOString()))
        const newest = all
          .map(({ id }) => id)
          .sort()
          .at(-1)
        const before = kept(all, byPeriod).filter((id) => id !== newest)
        expect(kept([...all, ...flood], byPeriod)).toEqual(expect.arrayContaining(before))
      }),
    )
  })
})

test('parents of what is kept are kept, as far as they are known', () => {
  const parents: Record<string, string> = { d: 'c', c: 'b', b: 'a', y: 'gone' }
  expect([...withParents(['d', 'y'], (id) => parents[id] ?? null)].sort()).toEqual(['a', 'b', 'c', 'd', 'gone', 'y'])
})

describe('the retention in keyholder.yaml', () => {
  const file = (retention: string) => `servers:\n  db1:\n    retention: ${retention}\n`

  test('stands beside the token, or alone', () => {
    const hold = '20261122T100000Z-3fa9'
    const text = file(`{ backups: { last: 3, weeks: 4, hold: [${hold}] }, dumps: { for: 1d }, point_in_time: 14d }`)
    expect(parseRetentions('k.yaml', text).get('db1')).toEqual({
      backups: { last: 3, forSeconds: 7 * 86_400, days: 0, weeks: 4, months: 0, years: 0, hold: [hold] },
      dumps: { last: 0, forSeconds: 86_400, days: 0, weeks: 0, months: 0, years: 0, hold: [] },
      pointInTimeSeconds: 14 * 86_400,
      incompleteAfterSeconds: 7 * 86_400,
    })
    expect(parseKeyholderFile('k.yaml', text)).toEqual([])
    const both = `${text}    token_sha256: ${'ab'.repeat(32)}\n`
    expect(parseKeyholderFile('k.yaml', both)).toHaveLength(1)
    expect(parseRetentions('k.yaml', both).size).toBe(1)
  })

  test.each([
    ['{ backups: {} }', /line 3: .*must say what to keep/],
    ['{ backups: { hold: [20261122T100000Z-3fa9] } }', /must say what to keep/],
    ['{ backups: { last: 0 } }', /must be 1 or more/],
    ['{ backups: { days: all } }', /must be a number/],
    ['{ backups: { for: 12 } }', /"12" is not a length of time/],
    ['{ backups: { last: 1, hold: [newest] } }', /is not the id of a backup/],
    ['{ backup: { last: 1 } }', /line 3: .*backup/],
    ['{ backups: { last: 1 }, incomplete_after: 1h }', /must be 1d or more/],
  ])('%s is refused', (retention, said) => {
    expect(() => parseRetentions('k.yaml', file(retention))).toThrow(said)
  })
})
