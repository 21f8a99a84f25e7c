import { expect, test } from 'vitest'
import { checkSegment, LONG_HEADER_BYTES, readSegmentHeader } from '../../src/wal/page.js'
import { makeSegment } from '../sandbox/make-wal.js'

const MB = 1024 * 1024
const SYSTEM = '7300000000000000001'
const segment = { timeline: 10, start: 0x300000n }
const made = () => makeSegment({ timeline: 10, lsn: segment.start, segmentBytes: MB, systemIdentifier: SYSTEM })

const check = (wal: Buffer) => {
  checkSegment(wal, segment, MB, SYSTEM)
}

test('a segment is accepted by what its first page says', () => {
  check(made())
  expect(readSegmentHeader(made())).toEqual({
    timeline: 10,
    start: 0x300000n,
    systemIdentifier: SYSTEM,
    segmentBytes: MB,
    pageBytes: 8192,
  })
})

test('the first segment of a timeline may begin with pages of an older one', () => {
  const wal = made()
  wal.writeUInt32LE(9, 4)
  check(wal)
})

test.each([
  ['a wrong magic', (wal: Buffer) => wal.writeUInt16LE(0xcafe, 0), /do not begin with the header/],
  ['no long header', (wal: Buffer) => wal.writeUInt16LE(0, 2), /do not begin with the header/],
  ['a later timeline', (wal: Buffer) => wal.writeUInt32LE(11, 4), /was written on timeline 11/],
  ['another address', (wal: Buffer) => wal.writeBigUInt64LE(0x400000n, 8), /begins at 0\/400000 by its header/],
  ['another system', (wal: Buffer) => wal.writeBigUInt64LE(7n, 24), /belongs to system 7/],
  ['another size of segments', (wal: Buffer) => wal.writeUInt32LE(16 * MB, 32), /segments have 16777216 bytes/],
])('a segment with %s is refused', (_, harm, message) => {
  const wal = made()
  harm(wal)
  expect(() => check(wal)).toThrow(
    expect.objectContaining({ code: 'wal_invalid', message: expect.stringMatching(message) }),
  )
})

test.each([0, LONG_HEADER_BYTES - 1, MB - 1, MB / 2])('a segment that is cut off at %i bytes is refused', (bytes) => {
  expect(() => check(made().subarray(0, bytes))).toThrow(expect.objectContaining({ code: 'wal_invalid' }))
})
