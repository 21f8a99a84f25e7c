import { describe, expect, test } from 'vitest'
import { WalHistory } from '../../src/worker/wal-history.js'

const MINUTE = 60_000
const DAY = 1440 * MINUTE
const NOON = Date.UTC(2026, 10, 25, 12)

/** The minute that begins so many minutes before noon, as it is seen at noon. */
const minuteBefore = (history: WalHistory, minutes: number, now = NOON) =>
  history.minutes(now).find(({ at }) => at === now - minutes * MINUTE)

describe('what happened to WAL in the last day', () => {
  test('WAL counts in the minute in which it was stored, and once, whatever is sent again', () => {
    const history = new WalHistory(NOON - DAY)
    history.stored(1, 1000n, NOON - 2 * MINUTE)
    history.stored(1, 1500n, NOON - 2 * MINUTE + 59_999)
    history.stored(1, 1200n, NOON - MINUTE)
    history.stored(1, 1600n, NOON - MINUTE)
    // Another timeline begins in the middle of the segment that the last one left.
    history.stored(2, 1300n, NOON)
    history.stored(2, 1301n, NOON)
    expect([2, 1, 0].map((minutes) => minuteBefore(history, minutes)?.bytes)).toEqual([500, 100, 1])
    expect(minuteBefore(history, 30)?.bytes).toBe(0)
  })

  test('what waited for long was late in all the minutes in which it waited', () => {
    const history = new WalHistory(NOON - DAY)
    history.waits(0.5, NOON - 5 * MINUTE)
    history.waits(150, NOON + 10_000)
    history.waits(0, NOON + 20_000)
    const seconds = [5, 4, 3, 2, 1, 0].map((minutes) => minuteBefore(history, minutes)?.seconds)
    expect(seconds).toEqual([0.5, null, expect.closeTo(20, 1), expect.closeTo(80, 1), expect.closeTo(140, 1), 150])
  })

  test('a wait of days fills the day, and a minute of the day before is not taken for one of today', () => {
    const history = new WalHistory(NOON - 3 * DAY)
    history.stored(1, 0n, NOON - DAY)
    history.stored(1, 7n, NOON - DAY)
    history.waits(2 * 86_400, NOON)
    const minutes = history.minutes(NOON)
    expect(minutes).toHaveLength(1440)
    expect(minutes.every(({ seconds }) => seconds !== null && seconds > 86_000)).toBe(true)
    expect(minutes.every(({ bytes }) => bytes === 0)).toBe(true)
  })

  test('what was there before the first worker began was not late', () => {
    const history = new WalHistory(NOON - DAY)
    history.ignoreBefore(NOON - MINUTE)
    history.waits(7200, NOON)
    expect([2, 1, 0].map((minutes) => minuteBefore(history, minutes)?.seconds)).toEqual([
      null,
      expect.closeTo(60, 1),
      60,
    ])
  })

  test('of the time before the process what was stored is known as far as rows tell, and the delay is not', () => {
    const history = new WalHistory(NOON - 10 * MINUTE)
    expect(minuteBefore(history, 20)).toMatchObject({ bytes: null, seconds: null })
    const rows = [40, 20].map((minutes) => ({ at: NOON - minutes * MINUTE, bytes: 16 }))
    history.fill(NOON - 30 * MINUTE, rows, NOON)
    const bytes = [40, 31, 30, 20, 5].map((minutes) => minuteBefore(history, minutes)?.bytes)
    expect(bytes).toEqual([null, null, 0, 16, 0])
    expect(minuteBefore(history, 20)?.seconds).toBeNull()
  })
})
