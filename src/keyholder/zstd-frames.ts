/** One zstd frame inside a part. */
export interface Frame {
  /** the frame's own bytes */
  stored: Buffer
  /** size of what it holds, where its header says it */
  rawBytes: number | null
}

const FRAME_MAGIC = 0xfd2fb528
const SKIPPABLE_MAGIC = 0x184d2a50
const DICTIONARY_BYTES = [0, 1, 2, 4]
const BLOCK_RLE = 1

/**
 * Splits a run of whole zstd frames, so that they can be decompressed side by side. Nothing is copied.
 *
 * Throws a RangeError where the bytes are no such run. Format: RFC 8878, section 3.1.
 */
export function* splitFrames(part: Buffer): Generator<Frame> {
  for (let at = 0; at < part.length;) {
    const magic = part.readUInt32LE(at)
    if ((magic & 0xfffffff0) >>> 0 === SKIPPABLE_MAGIC) {
      at += 8 + part.readUInt32LE(at + 4)
      continue
    }
    if (magic !== FRAME_MAGIC) throw new RangeError(`no zstd frame begins at byte ${at}`)
    const { headerBytes, rawBytes, checksumBytes } = readHeader(part, at)
    const end = skipBlocks(part, at + headerBytes) + checksumBytes
    if (end > part.length) throw new RangeError('the last zstd frame is cut')
    yield { stored: part.subarray(at, end), rawBytes }
    at = end
  }
}

/** The beginning of a frame, up to the end of its first block, which holds 128 KiB at the most. */
export function firstBlock({ stored }: Frame): Buffer {
  const at = readHeader(stored, 0).headerBytes
  return stored.subarray(0, blockEnd(stored, at).end)
}

function readHeader(part: Buffer, at: number) {
  const descriptor = part.readUInt8(at + 4)
  const singleSegment = (descriptor & 0x20) !== 0
  const dictionaryBytes = DICTIONARY_BYTES[descriptor & 3]!
  const sizeFlag = descriptor >> 6
  const sizeBytes = sizeFlag === 0 ? (singleSegment ? 1 : 0) : 1 << sizeFlag
  const sizeAt = at + 5 + (singleSegment ? 0 : 1) + dictionaryBytes
  return {
    headerBytes: sizeAt + sizeBytes - at,
    rawBytes: readSize(part, sizeAt, sizeBytes),
    checksumBytes: descriptor & 0x04 ? 4 : 0,
  }
}

function readSize(part: Buffer, at: number, bytes: number): number | null {
  if (bytes === 0) return null
  if (bytes === 8) return Number(part.readBigUInt64LE(at))
  // The two-byte form begins where the one-byte form ends.
  return part.readUIntLE(at, bytes) + (bytes === 2 ? 256 : 0)
}

/** Offset behind the last block of a frame whose first block begins at `at`. */
function skipBlocks(part: Buffer, at: number): number {
  for (let next = at; ;) {
    const { end, isLast } = blockEnd(part, next)
    if (isLast) return end
    next = end
  }
}

function blockEnd(part: Buffer, at: number): { end: number; isLast: boolean } {
  const header = part.readUIntLE(at, 3)
  const type = (header >> 1) & 3
  return { end: at + 3 + (type === BLOCK_RLE ? 1 : header >> 3), isLast: (header & 1) === 1 }
}
