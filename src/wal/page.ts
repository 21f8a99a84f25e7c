import { PostboxError } from '../errors.js'
import { formatLsn, type Lsn } from './lsn.js'
import { parseSegmentName, segmentName, type Segment } from './segment.js'

/**
 * What the first page of every segment says of itself (XLogLongPageHeaderData, src/include/access/xlog_internal.h).
 * Little-endian, as on every platform that Postgres's packages are built for here.
 */
export interface SegmentHeader {
  /** timeline that wrote the page; older than the segment's own where a timeline switch copied it */
  timeline: number
  start: Lsn
  /** decimal */
  systemIdentifier: string
  segmentBytes: number
  /** XLOG_BLCKSZ */
  pageBytes: number
}

export const SHORT_HEADER_BYTES = 24
export const LONG_HEADER_BYTES = 40
export const FIRST_IS_CONTINUED = 0x0001
const HAS_LONG_HEADER = 0x0002

/** Whether two bytes at `offset` are an xlp_magic: 0xD1xx in every version since 9.3. */
export function hasPageMagic(wal: Buffer, offset: number): boolean {
  return wal[offset + 1] === 0xd1
}

/** Sizes that initdb knows: powers of two from 1 MiB to 1 GiB. */
export const SEGMENT_SIZES: readonly number[] = Array.from({ length: 11 }, (_, power) => 2 ** (20 + power))

/** Sizes of a page that Postgres can be built with (its configure, --with-wal-blocksize). */
const PAGE_SIZES: readonly number[] = Array.from({ length: 7 }, (_, power) => 2 ** (10 + power))

/** Reads the long header at the beginning of a segment, whose sizes are possible ones. Throws `wal_invalid`. */
export function readSegmentHeader(wal: Buffer): SegmentHeader {
  const hint = 'They are damaged, or are not WAL.'
  if (wal.length < LONG_HEADER_BYTES || !hasPageMagic(wal, 0) || !(wal.readUInt16LE(2) & HAS_LONG_HEADER)) {
    throw new PostboxError('wal_invalid', 'the bytes do not begin with the header of a WAL segment', hint)
  }
  const [segmentBytes, pageBytes] = [wal.readUInt32LE(32), wal.readUInt32LE(36)]
  if (!SEGMENT_SIZES.includes(segmentBytes) || !PAGE_SIZES.includes(pageBytes)) {
    const message = `a header of WAL says that segments have ${segmentBytes} bytes and pages ${pageBytes}`
    throw new PostboxError('wal_invalid', message, hint)
  }
  return {
    timeline: wal.readUInt32LE(4),
    start: wal.readBigUInt64LE(8),
    systemIdentifier: wal.readBigUInt64LE(24).toString(),
    segmentBytes,
    pageBytes,
  }
}

/** Throws `wal_invalid` unless the bytes are that segment of that server: a file accepted blindly is found out at restore. */
export function checkSegment(wal: Buffer, segment: Segment, segmentBytes: number, systemIdentifier: string): void {
  checkSegmentHeader(wal, segment, segmentBytes, systemIdentifier)
  if (wal.length !== segmentBytes) {
    throw notThat(segment, segmentBytes, `has ${wal.length} bytes instead of ${segmentBytes}`)
  }
}

/** The same by the first LONG_HEADER_BYTES alone. */
export function checkSegmentHeader(
  wal: Buffer,
  segment: Segment,
  segmentBytes: number,
  systemIdentifier: string,
): void {
  const header = readSegmentHeader(wal)
  const wrong = (what: string) => notThat(segment, segmentBytes, what)
  if (header.segmentBytes !== segmentBytes) throw wrong(`says that segments have ${header.segmentBytes} bytes`)
  if (header.start !== segment.start) throw wrong(`begins at ${formatLsn(header.start)} by its header`)
  if (header.timeline > segment.timeline) throw wrong(`was written on timeline ${header.timeline}`)
  if (header.systemIdentifier !== systemIdentifier) throw wrong(`belongs to system ${header.systemIdentifier}`)
}

/** The segment that a name means among segments of that size. Throws `wal_invalid` where it means none. */
export function namedSegment(name: string, segmentBytes: number): Segment {
  const none = (cause?: unknown) => {
    const message = `no segment of ${segmentBytes} bytes has the name ${name}`
    return new PostboxError('wal_invalid', message, 'The WAL is not what it claims to be.', { cause })
  }
  if (!SEGMENT_SIZES.includes(segmentBytes)) throw none()
  try {
    return parseSegmentName(name, segmentBytes)
  } catch (cause) {
    throw none(cause)
  }
}

function notThat(segment: Segment, segmentBytes: number, what: string): PostboxError {
  const name = segmentName(segment, segmentBytes)
  return new PostboxError(
    'wal_invalid',
    `segment ${name} ${what}`,
    'The WAL stream or file is not what it claims to be.',
  )
}
