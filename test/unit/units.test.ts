import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { formatBytes, formatDuration, parseBytes, parseDuration } from '../../src/units.js'

describe('lengths of time', () => {
  test.each([
    ['90s', 90],
    ['30min', 1800],
    ['30m', 1800],
    ['12h', 43_200],
    ['7 d', 604_800],
  ])('"%s" is read', (text, seconds) => {
    expect(parseDuration(text)).toBe(seconds)
  })

  test.each(['', '12', 'h', '-1h', '0s', '1.5h', '1h30m', '12 hours', '12H'])('"%s" is refused', (text) => {
    expect(() => parseDuration(text)).toThrow(expect.objectContaining({ code: 'bad_argument' }))
  })

  test('what is written is read back the same', () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 1e8 }), (n) => parseDuration(formatDuration(n)) === n))
  })
})

describe('sizes', () => {
  test.each([
    ['65536', 65_536],
    ['64MiB', 67_108_864],
    ['64MB', 67_108_864],
    ['512 kB', 524_288],
    ['1GiB', 1_073_741_824],
  ])('"%s" is read, units being powers of 1024', (text, bytes) => {
    expect(parseBytes(text)).toBe(bytes)
  })

  test.each(['', '0', 'MB', '-1', '1.5GB', '64mb', '999999999999999GB'])('"%s" is refused', (text) => {
    expect(() => parseBytes(text)).toThrow(expect.objectContaining({ code: 'bad_argument' }))
  })

  test('what is written is read back the same', () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 2 ** 45 }), (n) => parseBytes(formatBytes(n)) === n))
  })
})
