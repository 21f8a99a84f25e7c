import { promisify } from 'node:util'
import { constants, zstdDecompress, zstdDecompressSync } from 'node:zlib'
import { PostboxError } from '../errors.js'
import { firstBlock, splitFrames, type Frame } from './zstd-frames.js'

const decompressOnPool = promisify(zstdDecompress)

/** Where a frame does not say what it holds: the size that our own frames have. */
const USUAL_RAW_BYTES = 4 * 1024 * 1024

/** The most that anything is unpacked to at once: the largest segment. A few KB of zstd can hold any number of bytes. */
const LARGEST_BYTES = 1024 * 1024 * 1024
/** Of a frame of a part: ours have 4 MiB. */
export const LARGEST_FRAME_BYTES = 64 * 1024 * 1024
/** Frames of a stored object are larger than that, but for a few. */
const LEAST_FRAME_BYTES = 4096
const FEW_FRAMES = 64
const BLOCK_BYTES = 128 * 1024

/**
 * Frames of a stored object. Throws `object_damaged` naming `key` when it is no run of zstd frames.
 *
 * `limit`: bytes that the object may hold.
 */
export function framesOf(stored: Buffer, key: string, limit = LARGEST_BYTES): Frame[] {
  const frames: Frame[] = []
  try {
    for (const frame of splitFrames(stored)) {
      frames.push(frame)
      if (frames.length > FEW_FRAMES + limit / LEAST_FRAME_BYTES) throw new RangeError('there are too many frames')
    }
  } catch (cause) {
    throw notZstd(key, cause)
  }
  return frames
}

/** What a frame holds, on Node's thread pool. Throws `object_damaged` naming `key`, also when that is more than `limit`. */
export async function decompressFrame(frame: Frame, key: string, limit = LARGEST_BYTES): Promise<Buffer> {
  try {
    return await decompressOnPool(frame.stored, roomFor(frame, limit))
  } catch (cause) {
    throw isTooLarge(cause) ? tooLarge(key, limit) : notZstd(key, cause)
  }
}

/** The same on the thread that calls. */
export function decompressFrameNow(frame: Frame, key: string, limit = LARGEST_BYTES): Buffer {
  try {
    return zstdDecompressSync(frame.stored, roomFor(frame, limit))
  } catch (cause) {
    throw isTooLarge(cause) ? tooLarge(key, limit) : notZstd(key, cause)
  }
}

/** The first bytes of what an object holds, up to 128 KiB. Throws `object_damaged` naming `key`. */
export function decompressBeginning(frames: readonly Frame[], key: string): Buffer {
  const [frame] = frames
  if (!frame) return Buffer.alloc(0)
  const { ZSTD_e_flush: finishFlush } = constants
  try {
    return zstdDecompressSync(firstBlock(frame), {
      finishFlush,
      chunkSize: BLOCK_BYTES + 1,
      maxOutputLength: BLOCK_BYTES,
    })
  } catch (cause) {
    throw notZstd(key, cause)
  }
}

/** One spare byte: a buffer that is filled to the brim makes Node allocate a second one of the same size. */
function roomFor({ rawBytes }: Frame, limit: number): { chunkSize: number; maxOutputLength: number } {
  const most = Math.max(0, Math.min(limit, LARGEST_BYTES))
  return {
    chunkSize: Math.max(64, Math.min(rawBytes ?? USUAL_RAW_BYTES, most) + 1),
    maxOutputLength: Math.max(1, most),
  }
}

/**
 * All that an object of moderate size holds, such as a WAL segment. Throws `object_damaged` naming `key`, also when that is more
 * than `limit` bytes.
 */
export async function decompress(stored: Buffer, key: string, limit = LARGEST_BYTES): Promise<Buffer> {
  const frames = framesOf(stored, key, limit)
  const pieces: Buffer[] = []
  if (frames.every(({ rawBytes }) => rawBytes !== null)) {
    if (frames.reduce((sum, { rawBytes }) => sum + rawBytes!, 0) > limit) throw tooLarge(key, limit)
    pieces.push(...(await Promise.all(frames.map((frame) => decompressFrame(frame, key, frame.rawBytes!)))))
  } else {
    // One by one, as none says how much room it takes.
    let left = limit
    for (const frame of frames) {
      const raw = await decompressFrame(frame, key, left)
      left -= raw.length
      if (left < 0) throw tooLarge(key, limit)
      pieces.push(raw)
    }
  }
  return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces)
}

const isTooLarge = (cause: unknown): boolean => (cause as { code?: unknown } | null)?.code === 'ERR_BUFFER_TOO_LARGE'

function tooLarge(key: string, limit: number): PostboxError {
  const message = `${key} unpacks to more than the ${limit} bytes that it can hold`
  return new PostboxError('object_damaged', message, 'The object is damaged or forged. Restore another backup.')
}

function notZstd(key: string, cause: unknown): PostboxError {
  return new PostboxError(
    'object_damaged',
    `${key} is not valid zstd`,
    'The object is damaged. Restore another backup; see "postbox list".',
    { cause },
  )
}
