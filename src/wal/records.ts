import {
  FIRST_IS_CONTINUED,
  hasPageMagic,
  LONG_HEADER_BYTES,
  readSegmentHeader,
  SHORT_HEADER_BYTES,
  type SegmentHeader,
} from './page.js'

/** Where a WAL record lies in its segment, as offsets from the segment's first byte. */
export interface RecordPlace {
  at: number
  /** length of the record itself, page headers in it left out */
  bytes: number
  /** where the next record begins; behind the segment's end when this one runs out of it */
  next: number
}

// XLogRecord (src/include/access/xlogrecord.h): total length, xid, previous LSN, info, resource manager, padding, CRC.
export const RECORD_HEADER_BYTES = 24
const XID_OFFSET = 4

const align8 = (bytes: number): number => (bytes + 7) & ~7

/** Records that begin on a page, in WAL order. */
export function* recordsOnPage(wal: Buffer, header: SegmentHeader, page: number): Generator<RecordPlace> {
  const pageEnd = (page + 1) * header.pageBytes
  let at = firstRecord(wal, header, page)
  while (at !== null && at < pageEnd && at + 4 <= wal.length) {
    const bytes = wal.readUInt32LE(at)
    // Zeros follow the last record and a segment switch.
    if (bytes < RECORD_HEADER_BYTES) return
    const next = advance(header.pageBytes, at, align8(bytes))
    yield { at, bytes, next }
    at = next
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
    for (const { at, bytes } of recordsOnPage(segment, header, page)) {
      if (readAcross(segment, header.pageBytes, at, bytes)) last = at
    }
    if (last !== null) return last
  }
  return null
}

/** Low 32 bits of the transaction id of each record that begins in the segment, in WAL order; 0 where there is none. */
export function* recordXids(segment: Buffer): Generator<number> {
  const header = readSegmentHeader(segment)
  const pages = Math.ceil(segment.length / header.pageBytes)
  for (let page = 0; page < pages; page++) {
    for (const { at } of recordsOnPage(segment, header, page)) {
      const head = readAcross(segment, header.pageBytes, at, XID_OFFSET + 4)
      if (head) yield head.readUInt32LE(XID_OFFSET)
    }
  }
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
  const leftOnPage = pageBytes - (at % pageBytes)
  if (bytes <= leftOnPage) return at + bytes <= wal.length ? wal.subarray(at, at + bytes) : null
  const pieces: Buffer[] = []
  for (let left = bytes; left > 0;) {
    const take = Math.min(left, pageBytes - (at % pageBytes))
    if (at + take > wal.length) return null
    pieces.push(wal.subarray(at, at + take))
    left -= take
    at += take + SHORT_HEADER_BYTES
  }
  return Buffer.concat(pieces)
}

/** Offset that lies `bytes` of record data further on. */
function advance(pageBytes: number, at: number, bytes: number): number {
  for (let left = bytes; ;) {
    const onPage = pageBytes - (at % pageBytes)
    if (left < onPage) return at + left
    left -= onPage
    at += onPage + SHORT_HEADER_BYTES
    if (left === 0) return at
  }
}
