const MEBIBYTE = 1024 * 1024

/** Memory for segments that are filled or being compressed. */
const RAW_BYTES = 48 * MEBIBYTE
/** Memory for compressed ones that are posted meanwhile, if they got no smaller. */
const POSTED_BYTES = 64 * MEBIBYTE

/** How many segments of a WAL stream are in memory at once. */
export interface SegmentRoom {
  /** filled or being compressed; one more may have been begun by the read that filled the last of them */
  raw: number
  /** posted meanwhile */
  posted: number
}

/** Of segments that are larger than usual as few as can be, so that one is filled while another is compressed. */
export function segmentRoom(segmentBytes: number): SegmentRoom {
  const fitting = (bytes: number) => Math.floor(bytes / segmentBytes)
  return {
    raw: Math.min(16, Math.max(2, fitting(RAW_BYTES))),
    posted: Math.min(4, Math.max(1, fitting(POSTED_BYTES))),
  }
}
