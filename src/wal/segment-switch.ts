import { crc32c } from './crc32c.js'
import { readSegmentHeader } from './page.js'
import { readAcross, RECORD_HEADER_BYTES, visitRecords } from './records.js'

// Offsets in XLogRecord.
const INFO_OFFSET = 16
const RMGR_OFFSET = 17
const CRC_OFFSET = 20
const RM_XLOG_ID = 0
/** Without the bits that are not the resource manager's. */
const INFO_MASK = 0xf0
const XLOG_SWITCH = 0x40

/**
 * Zeroes what lies behind a switch to the next segment (pg_switch_wal), as it is on the primary. Whether that changed
 * anything.
 *
 * A standby that has replayed the switch sends the rest of the segment before it has received it: whatever its recycled
 * file held. No recovery reads that, but the same segment would have other bytes each time.
 */
export function clearBehindSwitch(segment: Buffer): boolean {
  const end = switchEnd(segment)
  if (end === null) return false
  const rest = segment.subarray(end)
  if (rest.every((byte) => byte === 0)) return false
  rest.fill(0)
  return true
}

/** Offset behind the record that switches to the next segment; null when there is none whose CRC is right. */
function switchEnd(segment: Buffer): number | null {
  const header = readSegmentHeader(segment)
  let end: number | null = null
  for (let page = 0; page * header.pageBytes < segment.length && end === null; page++) {
    visitRecords(segment, header, page, (at, bytes) => {
      // It has no data, and begins where its page has room for all of it or goes on behind the next page's header.
      const record = bytes === RECORD_HEADER_BYTES ? readAcross(segment, header.pageBytes, at, bytes) : null
      if (record && isSwitch(record)) end = endOf(at, header.pageBytes)
      return end === null
    })
  }
  return end
}

function isSwitch(record: Buffer): boolean {
  if (record[RMGR_OFFSET] !== RM_XLOG_ID || (record[INFO_OFFSET]! & INFO_MASK) !== XLOG_SWITCH) return false
  return crc32c(record.subarray(0, CRC_OFFSET)) === record.readUInt32LE(CRC_OFFSET)
}

const PAGE_HEADER_BYTES = 24

function endOf(at: number, pageBytes: number): number {
  const left = pageBytes - (at % pageBytes)
  return left >= RECORD_HEADER_BYTES ? at + RECORD_HEADER_BYTES : at + RECORD_HEADER_BYTES + PAGE_HEADER_BYTES
}
