import { describe, expect, test } from 'vitest'
import { crc32c } from '../../src/wal/crc32c.js'
import { clearBehindSwitch } from '../../src/wal/segment-switch.js'
import { makeSegment } from '../sandbox/make-wal.js'

const MB = 1024 * 1024
const segment = () =>
  makeSegment({ timeline: 1, lsn: 0x300000n, segmentBytes: MB, systemIdentifier: '7', commits: [1n, 2n] })
/** Behind the header and two commits. */
const AT = 40 + 2 * 40

/** XLogRecord: length, transaction, the record before it, info, resource manager, CRC. */
function putSwitch(wal: Buffer, at: number, { info = 0x40, rmgr = 0, crc = true } = {}): void {
  wal.writeUInt32LE(24, at)
  wal.writeUInt8(info, at + 16)
  wal.writeUInt8(rmgr, at + 17)
  wal.writeUInt32LE(crc ? crc32c(wal.subarray(at, at + 20)) : 1, at + 20)
}

describe('what lies behind a switch of segments', () => {
  test('is zeroed, and nothing in front of it', () => {
    const wal = segment()
    putSwitch(wal, AT)
    const primary = Buffer.from(wal)
    wal.fill('left by an older life', AT + 24)
    expect(clearBehindSwitch(wal)).toBe(true)
    expect(wal.equals(primary)).toBe(true)
    expect(clearBehindSwitch(wal)).toBe(false)
  })

  test.each([
    ['another record', { info: 0x30 }],
    ['one of another resource manager', { rmgr: 1 }],
    ['one whose CRC is wrong', { crc: false }],
  ])('stays as it is behind %s', (_, how) => {
    const wal = segment()
    putSwitch(wal, AT, how)
    wal.fill('x', 8192)
    const before = Buffer.from(wal)
    expect(clearBehindSwitch(wal)).toBe(false)
    expect(wal.equals(before)).toBe(true)
  })

  test('is not looked for where WAL was never written', () => {
    const wal = segment()
    wal.fill('left by an older life', 8192)
    putSwitch(wal, 16_384 + 24)
    const before = Buffer.from(wal)
    expect(clearBehindSwitch(wal)).toBe(false)
    expect(wal.equals(before)).toBe(true)
  })
})
