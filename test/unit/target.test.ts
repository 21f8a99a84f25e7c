import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { formatTarget, formatTime, parseTarget, parseTargetTimeline, parseTime } from '../../src/keyholder/target.js'

const NOON = 1_763_812_800_000_000n

describe('a target time', () => {
  test.each([
    ['2025-11-22T12:00:00Z', NOON],
    ['2025-11-22 12:00:00+00', NOON],
    ['2025-11-22 12:00 UTC', NOON],
    ['2025-11-22T14:30:00+02:30', NOON],
    ['2025-11-22T07:00:00-0500', NOON],
    ['2025-11-22T12:00:00.1Z', NOON + 100_000n],
    ['2025-11-22T12:00:00,000001Z', NOON + 1n],
  ])('%s is read to the microsecond', (text, micros) => {
    expect(parseTime(text)).toBe(micros)
  })

  test.each(['2025-11-22T12:00:00', 'yesterday', '2025-02-30T12:00:00Z', '2025-11-22T24:00:00Z', '2025-11-22Z', ''])(
    '"%s" is refused',
    (text) => {
      expect(() => parseTime(text)).toThrow(expect.objectContaining({ code: 'bad_argument' }))
    },
  )

  test('is written so that reading it gives the same', () => {
    const range = fc.bigInt({ min: 0n, max: 4_000_000_000_000_000n })
    fc.assert(
      fc.property(range, (micros) => {
        expect(parseTime(formatTime(micros))).toBe(micros)
      }),
    )
  })
})

describe('a target', () => {
  test.each([
    'latest',
    'immediate',
    'lsn=16/B374D848',
    'xid=1234',
    'name=before upgrade',
    'time=2025-11-22T12:00:00.000001Z',
  ])('%s is understood and written back', (text) => {
    expect(formatTarget(parseTarget(text))).toBe(text)
  })

  test.each(['newest', 'xid=0', 'xid=abc', 'lsn=12', 'name=', 'time=now', `name=${'é'.repeat(32)}`])(
    '%s is refused',
    (text) => {
      expect(() => parseTarget(text)).toThrow(expect.objectContaining({ code: 'bad_argument' }))
    },
  )

  test('timeline is latest, current or a number, in tens or with 0x', () => {
    const read = ['latest', 'current', '10', '0xA', '0x0000000a', '0X10'].map(parseTargetTimeline)
    expect(read).toEqual(['latest', 'current', 10, 10, 10, 16])
    for (const text of ['0', '0A', '0000000A', '-1', '4294967296', '0x', '0x0', '0x100000000', '']) {
      expect(() => parseTargetTimeline(text)).toThrow(expect.objectContaining({ code: 'bad_argument' }))
    }
  })
})
