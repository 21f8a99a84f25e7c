import { PostboxError } from '../errors.js'
import type { Lsn } from './lsn.js'

/** A WAL file: a run of `segmentBytes` bytes of one timeline, beginning at a multiple of that size. */
export interface Segment {
  timeline: number
  /** LSN of its first byte */
  start: Lsn
}

const NAME = /^[0-9A-F]{24}$/

/** First byte of the segment that `lsn` lies in. */
export function segmentStart(lsn: Lsn, segmentBytes: number): Lsn {
  return lsn - (lsn % BigInt(segmentBytes))
}

/** Timeline as eight hexadecimal digits, as every WAL name begins. */
export function formatTimeline(timeline: number): string {
  return timeline.toString(16).toUpperCase().padStart(8, '0')
}

/** Name of the segment as in pg_wal: timeline, then number split at 4 GiB. `segmentBytes`: the server's wal_segment_size. */
export function segmentName({ timeline, start }: Segment, segmentBytes: number): string {
  const number = start / BigInt(segmentBytes)
  const perId = 0x100000000n / BigInt(segmentBytes)
  const hex = (value: bigint) => value.toString(16).toUpperCase().padStart(8, '0')
  return formatTimeline(timeline) + hex(number / perId) + hex(number % perId)
}

/** Reads a 24-digit name. Throws `bad_argument` for anything else, `.partial` and `.backup` names included. */
export function parseSegmentName(name: string, segmentBytes: number): Segment {
  if (!NAME.test(name)) {
    throw new PostboxError('bad_argument', `"${name}" is not a WAL segment name`, 'It has 24 hexadecimal digits.')
  }
  const perId = 0x100000000n / BigInt(segmentBytes)
  const low = BigInt(`0x${name.slice(16)}`)
  if (low >= perId) {
    throw new PostboxError(
      'bad_argument',
      `"${name}" does not name a segment of ${segmentBytes} bytes`,
      'Check the WAL segment size of the server.',
    )
  }
  const number = BigInt(`0x${name.slice(8, 16)}`) * perId + low
  return { timeline: Number.parseInt(name.slice(0, 8), 16), start: number * BigInt(segmentBytes) }
}
