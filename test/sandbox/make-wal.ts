import { segmentStart } from '../../src/wal/segment.js'
import type { Lsn } from '../../src/wal/lsn.js'

const PAGE = 8192
const POSTGRES_EPOCH_MICROS = 946_684_800_000_000n

export interface WalContent {
  timeline: number
  /** any position in the segment */
  lsn: Lsn
  segmentBytes: number
  systemIdentifier: string
  /** times of commits, in microseconds from 1970, one record each on the first page */
  commits?: readonly bigint[]
}

/** A segment with nothing but its header and commit records: enough for everything that reads WAL without replaying it. */
export function makeSegment({ timeline, lsn, segmentBytes, systemIdentifier, commits = [] }: WalContent): Buffer {
  const wal = Buffer.alloc(segmentBytes)
  // XLogLongPageHeaderData
  wal.writeUInt16LE(0xd118, 0)
  wal.writeUInt16LE(0x0002, 2)
  wal.writeUInt32LE(timeline, 4)
  wal.writeBigUInt64LE(segmentStart(lsn, segmentBytes), 8)
  wal.writeBigUInt64LE(BigInt(systemIdentifier), 24)
  wal.writeUInt32LE(segmentBytes, 32)
  wal.writeUInt32LE(PAGE, 36)
  let at = 40
  for (const [index, micros] of commits.entries()) {
    // XLogRecord of resource manager 1 (transactions), then XLR_BLOCK_ID_DATA_SHORT, length, xl_xact_commit
    wal.writeUInt32LE(34, at)
    wal.writeUInt32LE(700 + index, at + 4)
    wal.writeUInt8(0x00, at + 16)
    wal.writeUInt8(1, at + 17)
    wal.writeUInt8(255, at + 24)
    wal.writeUInt8(8, at + 25)
    wal.writeBigInt64LE(micros - POSTGRES_EPOCH_MICROS, at + 26)
    at += 40
  }
  return wal
}
