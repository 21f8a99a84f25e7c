import {
  FIRST_IS_CONTINUED,
  hasPageMagic,
  LONG_HEADER_BYTES,
  readSegmentHeader,
  SHORT_HEADER_BYTES,
  type SegmentHeader,
} from './page.js'

// XLogRecord (src/include/access/xlogrecord.h): total length, xid, previous LSN, info, resource manager, padding, CRC.
export const RECORD_HEADER_BYTES = 24
const XID_OFFSET = 4

const align8 = (bytes: number): number => (bytes + 7) & ~7

/** Calls `visit` for each record that begins on a page, in WAL order, until it answers false. */
export function visitRecords(
  wal: Buffer,
  header: SegmentHeader,
  page: number,
  visit: (at: number, bytes: number) => boolean,
): void {
  const pageEnd = (page + 1) * header.pageBytes
  let at = firstRecord(wal, header, page) ?? pageEnd
  while (at < pageEnd && at + 4 <= wal.length) {
    const bytes = wal.readUInt32LE(at)
    // Zeros follow the last record and a segment switch.
    if (bytes < RECORD_HEADER_BYTES || !visit(at, bytes)) return
    at = advance(header.pageBytes, at, align8(bytes))
  }
}

/**
 * Offset of the last record that begins and ends in the segment, or null when there is none. Reads from the back.
 *
 * Recovery can stop at a position only where a record begins at or behind it.
 */
export function lastWholeRecord(segment: Buffer): number | null {
  const header = readSegmentHeader(segment)
  for (let page = Math.ceil(segment.length / header.pageBytes) - 1; page >= 0; page--) {
    let last: number | null = null
    visitRecords(segment, header, page, (at, bytes) => {
      if (endOfBytes(header.pageBytes, at, bytes) <= segment.length) last = at
      return true
    })
    if (last !== null) return last
  }
  return null
}

/**
 * Whether `test` holds for the transaction id of every record that begins in the segment: its low 32 bits, 0 where there
 * is none.
 */
export function everyXid(segment: Buffer, test: (xid: number) => boolean): boolean {
  const header = readSegmentHeader(segment)
  const pages = Math.ceil(segment.length / header.pageBytes)
  let every = true
  for (let page = 0; page < pages && every; page++) {
    visitRecords(segment, header, page, (at) => {
      const head = readAcross(segment, header.pageBytes, at, XID_OFFSET + 4)
      every = head === null || test(head.readUInt32LE(XID_OFFSET))
      return every
    })
  }
  return every
}

/** One byte of a record's header, which may run over the end of a page; undefined behind the segment's end. */
export function headerByte(wal: Buffer, pageBytes: number, at: number, offset: number): number | undefined {
  const over = (at % pageBytes) + offset >= pageBytes
  return wal[at + offset + (over ? SHORT_HEADER_BYTES : 0)]
}

/** Offset of the first record that begins on the page; null when none does, or the page was never written. */
function firstRecord(wal: Buffer, header: SegmentHeader, page: number): number | null {
  const pageStart = page * header.pageBytes
  if (pageStart + SHORT_HEADER_BYTES > wal.length || !hasPageMagic(wal, pageStart)) return null
  // A recycled file still holds an older life's pages behind its end.
  if (wal.readBigUInt64LE(pageStart + 8) !== header.start + BigInt(pageStart)) return null
  const headerBytes = page === 0 ? LONG_HEADER_BYTES : SHORT_HEADER_BYTES
  if (!(wal.readUInt16LE(pageStart + 2) & FIRST_IS_CONTINUED)) return pageStart + headerBytes
  const first = pageStart + headerBytes + align8(wal.readUInt32LE(pageStart + 16))
  return first < pageStart + header.pageBytes ? first : null
}

/** Bytes of a record, page headers left out; null where it runs out of the segment. */
export function readAcross(wal: Buffer, pageBytes: number, at: number, bytes: number): Buffer | null {
  if (endOfBytes(pageBytes, at, bytes) > wal.length) return null
  if (bytes <= pageBytes - (at % pageBytes)) return wal.subarray(at, at + bytes)
  const pieces: Buffer[] = []
  for (let left = bytes; left > 0;) {
    const take = Math.min(left, pageBytes - (at % pageBytes))
    pieces.push(wal.subarray(at, at + take))
    left -= take
    at += take + SHORT_HEADER_BYTES
  }
  return Buffer.concat(pieces)
}

/** Offset behind `bytes` of record data. Not page by page: a forged record may say that it has 4 GiB. */
export function endOfBytes(pageBytes: number, at: number, bytes: number): number {
  const onPage = pageBytes - (at % pageBytes)
  if (bytes <= onPage) return at + bytes
  const further = bytes - onPage
  const pages = Math.ceil(further / (pageBytes - SHORT_HEADER_BYTES))
  return at + onPage + pages * SHORT_HEADER_BYTES + further
}

/** Offset that lies `bytes` of record data further on: behind a page's header where they fill a page. */
function advance(pageBytes: number, at: number, bytes: number): number {
  const end = endOfBytes(pageBytes, at, bytes)
  return end % pageBytes === 0 ? end + SHORT_HEADER_BYTES : end
}
