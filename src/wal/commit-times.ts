import { readSegmentHeader, type SegmentHeader } from './page.js'
import { endOfBytes, headerByte, readAcross, RECORD_HEADER_BYTES, visitRecords } from './records.js'

/** A commit or abort record: what recovery compares with recovery_target_time and recovery_target_xid. */
export interface TransactionEnd {
  /** low 32 bits of the transaction id */
  xid: number
  /** the record's own time, cut to the millisecond */
  endedAt: Date
  /** the same in full, as microseconds from 1970 */
  endedAtMicros: bigint
  committed: boolean
}

// Offsets in XLogRecord.
const INFO_OFFSET = 16
const RMGR_OFFSET = 17
const RM_XACT_ID = 1
const XACT_OPERATION_MASK = 0x70
/** COMMIT, ABORT, COMMIT_PREPARED, ABORT_PREPARED → committed? (src/include/access/xact.h) */
const committedByOperation = new Map([
  [0x00, true],
  [0x20, false],
  [0x30, true],
  [0x40, false],
])
/** Microseconds from 1970 to 2000, where Postgres's clock begins. */
const POSTGRES_EPOCH_MICROS = 946_684_800_000_000n
const BLOCK_ID_DATA_SHORT = 255
const BLOCK_ID_DATA_LONG = 254
/** A record as far as to the time in it: its header, origin, top-level xid, data header and time. */
const HEAD_BYTES = RECORD_HEADER_BYTES + 3 + 5 + 5 + 8

/** Newest commit or abort in a segment, or null when none ends in it. Reads from the back, so usually one page. */
export function lastCommitTime(segment: Buffer): Date | null {
  const header = readSegmentHeader(segment)
  for (let page = Math.ceil(segment.length / header.pageBytes) - 1; page >= 0; page--) {
    const last = endsOnPage(segment, header, page).at(-1)
    if (last) return last.endedAt
  }
  return null
}

/** All transactions that end in the segment, in WAL order. A record that runs into the next segment is not among them. */
export function* transactionEnds(segment: Buffer): Generator<TransactionEnd> {
  const header = readSegmentHeader(segment)
  const pages = Math.ceil(segment.length / header.pageBytes)
  for (let page = 0; page < pages; page++) yield* endsOnPage(segment, header, page)
}

/** Transaction ends whose record begins on the page. Most records are others, and are passed over without a copy. */
function endsOnPage(wal: Buffer, header: SegmentHeader, page: number): TransactionEnd[] {
  const ends: TransactionEnd[] = []
  visitRecords(wal, header, page, (at, bytes) => {
    if (headerByte(wal, header.pageBytes, at, RMGR_OFFSET) !== RM_XACT_ID) return true
    const end = readTransactionEnd(wal, header.pageBytes, at, bytes)
    if (end) ends.push(end)
    return true
  })
  return ends
}

/** Null too for a record whose time no Date can tell: no server wrote it. */
function readTransactionEnd(wal: Buffer, pageBytes: number, at: number, bytes: number): TransactionEnd | null {
  if (endOfBytes(pageBytes, at, bytes) > wal.length) return null
  // All of it may be a segment long, and a forged segment may hold one on each page.
  const head = readAcross(wal, pageBytes, at, Math.min(bytes, HEAD_BYTES))
  const committed = head && committedByOperation.get(head[INFO_OFFSET]! & XACT_OPERATION_MASK)
  const dataAt = head && mainDataOffset(head, bytes)
  if (!head || committed == null || dataAt === null || dataAt + 8 > head.length) return null
  // xl_xact_commit and xl_xact_abort both begin with their time.
  const micros = head.readBigInt64LE(dataAt) + POSTGRES_EPOCH_MICROS
  const endedAt = new Date(Number(micros / 1000n))
  if (Number.isNaN(endedAt.getTime())) return null
  return { xid: head.readUInt32LE(4), endedAt, endedAtMicros: micros, committed }
}

/**
 * Where a record's main data begins, which goes to its end. Transaction records carry no blocks, so at most an origin
 * (3 bytes) and a top-level xid (5 bytes) stand before the data header.
 */
function mainDataOffset(head: Buffer, recordBytes: number): number | null {
  let at = RECORD_HEADER_BYTES
  while (at + 5 <= head.length) {
    const id = head[at]!
    if (id === BLOCK_ID_DATA_SHORT) return at + 2 + head[at + 1]! === recordBytes ? at + 2 : null
    if (id === BLOCK_ID_DATA_LONG) return at + 5 + head.readUInt32LE(at + 1) === recordBytes ? at + 5 : null
    if (id === 253) at += 3
    else if (id === 252) at += 5
    else return null
  }
  return null
}
