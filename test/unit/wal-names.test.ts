import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { formatLsn, parseLsn } from '../../src/wal/lsn.js'
import { parseSegmentName, segmentName, segmentStart } from '../../src/wal/segment.js'
import { parseTimelineHistory } from '../../src/wal/timeline-history.js'

const MiB = 1024 * 1024
const lsns = fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn })
const segmentSizes = fc.constantFrom(1, 2, 16, 64, 1024).map((mebibytes) => mebibytes * MiB)

describe('an LSN', () => {
  test('reads as it prints', () => {
    fc.assert(fc.property(lsns, (lsn) => parseLsn(formatLsn(lsn)) === lsn))
  })

  test.each(['', '0', '1/', '/1', '1/2/3', '0/123456789', 'x/1', ' 0/1'])('is refused when it is "%s"', (text) => {
    expect(() => parseLsn(text)).toThrow(/is not an LSN/)
  })
})

describe('a segment name', () => {
  test.each([
    [1, '0/1000000', 16 * MiB, '000000010000000000000001'],
    [1, '0/FF000000', 16 * MiB, '0000000100000000000000FF'],
    [10, '1/0', 16 * MiB, '0000000A0000000100000000'],
    [16, '1/400000', 1 * MiB, '000000100000000100000004'],
    [1, '2/C0000000', 1024 * MiB, '000000010000000200000003'],
  ])('is that of pg_wal: timeline %i, %s, %i bytes', (timeline, lsn, bytes, name) => {
    expect(segmentName({ timeline, start: parseLsn(lsn) }, bytes)).toBe(name)
  })

  test('reads as it prints, whatever the segment size', () => {
    fc.assert(
      fc.property(lsns, segmentSizes, fc.integer({ min: 1, max: 0xffff_ffff }), (lsn, bytes, timeline) => {
        const segment = { timeline, start: segmentStart(lsn, bytes) }
        expect(parseSegmentName(segmentName(segment, bytes), bytes)).toEqual(segment)
      }),
    )
  })

  test('sorts by LSN as text within a timeline', () => {
    fc.assert(
      fc.property(lsns, lsns, segmentSizes, (a, b, bytes) => {
        const [first, second] = [a, b].map((lsn) =>
          segmentName({ timeline: 1, start: segmentStart(lsn, bytes) }, bytes),
        )
        if (segmentStart(a, bytes) < segmentStart(b, bytes)) expect(first! < second!).toBe(true)
      }),
    )
  })

  test.each([
    '000000010000000000000001.partial',
    '00000002.history',
    '000000010000000000000001.00000028.backup',
    '00000001000000000000000g',
    '000000010000000000000100',
  ])('is refused when it is %s', (name) => {
    expect(() => parseSegmentName(name, 16 * MiB)).toThrow()
  })
})

describe('a timeline history', () => {
  test('lists each ancestor with the LSN at which it was left', () => {
    expect(
      parseTimelineHistory('1\t0/5000000\tno recovery target specified\n\n# a comment\n9\t1/A0\tbefore x\n'),
    ).toEqual([
      { timeline: 1, switchLsn: 0x5000000n },
      { timeline: 9, switchLsn: 0x1000000a0n },
    ])
  })

  test('is refused when a line makes no sense', () => {
    expect(() => parseTimelineHistory('1 five\n')).toThrow(/holds the line/)
  })
})
