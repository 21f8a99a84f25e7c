import { expect, test } from 'vitest'
import { nextRun } from '../../src/worker/next-run.js'

/** The runs after a moment, one from the other as the worker computes them. */
function runs(cron: string, zone: string, after: string, count: number): string[] {
  const found: string[] = []
  for (let at = new Date(after); found.length < count;) {
    at = nextRun({ cron, time_zone: zone }, at)
    found.push(at.toISOString().slice(0, 16))
  }
  return found
}

test('a run at a set time is at that time of its zone, in summer and in winter', () => {
  expect(runs('30 2 * * *', 'UTC', '2026-11-25T02:30:00Z', 2)).toEqual(['2026-11-26T02:30', '2026-11-27T02:30'])
  expect(runs('30 12 * * *', 'Europe/Berlin', '2026-10-24T00:00:00Z', 2)).toEqual([
    '2026-10-24T10:30',
    '2026-10-25T11:30',
  ])
})

test.each(['30 2 * * *', '30,30 2-2 * * *'])('%s happens once in the night that skips the hour', (cron) => {
  expect(runs(cron, 'Europe/Berlin', '2026-03-28T12:00:00Z', 2)).toEqual(['2026-03-29T01:00', '2026-03-30T00:30'])
})

test.each(['30 2 * * *', '30 2,14 * * *'])('%s happens once in the night that has the hour twice', (cron) => {
  const night = runs(cron, 'Europe/Berlin', '2026-10-24T20:00:00Z', 4).filter((at) => at < '2026-10-25T06:00')
  expect(night).toEqual(['2026-10-25T00:30'])
})

test('no moment between the two hours has a second run to come', () => {
  for (const after of [
    '2026-10-25T00:30:00.001Z',
    '2026-10-25T00:59:59Z',
    '2026-10-25T01:00:00Z',
    '2026-10-25T01:29:59Z',
  ]) {
    expect(nextRun({ cron: '30 2 * * *', time_zone: 'Europe/Berlin' }, new Date(after)).toISOString()).toBe(
      '2026-10-26T01:30:00.000Z',
    )
  }
})

test('what runs every quarter of an hour goes on through both hours', () => {
  const found = runs('*/15 * * * *', 'Europe/Berlin', '2026-10-24T23:59:00Z', 9)
  expect(found).toEqual([...new Set(found)])
  expect(found.at(-1)).toBe('2026-10-25T02:00')
})

test('a run is never at the moment that is asked about, and always on a whole minute', () => {
  expect(runs('* * * * *', 'UTC', '2026-01-01T00:00:00.000Z', 1)).toEqual(['2026-01-01T00:01'])
  expect(nextRun({ cron: '* * * * *', time_zone: 'UTC' }, new Date('2026-01-01T00:00:59.999Z')).toISOString()).toBe(
    '2026-01-01T00:01:00.000Z',
  )
})

test.each([
  ['30 2 * * *', 'Moon/Crater'],
  ['61 2 * * *', 'UTC'],
  ['0 0 30 2 *', 'UTC'],
])('%s in %s is named as what it is', (cron, zone) => {
  expect(() => nextRun({ cron, time_zone: zone }, new Date())).toThrow(
    expect.objectContaining({ code: 'bad_argument' }) as Error,
  )
})
