import { promisify } from 'node:util'
import { zstdDecompress, zstdDecompressSync } from 'node:zlib'
import { PostboxError } from '../errors.js'
import { splitFrames, type Frame } from './zstd-frames.js'

const decompressOnPool = promisify(zstdDecompress)

/** Where a frame does not say what it holds: the size that our own frames have. */
const USUAL_RAW_BYTES = 4 * 1024 * 1024

/** Frames of a stored object. Throws `object_damaged` naming `key` when it is no run of zstd frames. */
export function framesOf(stored: Buffer, key: string): Frame[] {
  try {
    return [...splitFrames(stored)]
  } catch (cause) {
    throw notZstd(key, cause)
  }
}

/** What a frame holds, on Node's thread pool. Throws `object_damaged` naming `key`. */
export async function decompressFrame(frame: Frame, key: string): Promise<Buffer> {
  try {
    return await decompressOnPool(frame.stored, { chunkSize: chunkBytes(frame) })
  } catch (cause) {
    throw notZstd(key, cause)
  }
}

/** The same on the thread that calls. */
export function decompressFrameNow(frame: Frame, key: string): Buffer {
  try {
    return zstdDecompressSync(frame.stored, { chunkSize: chunkBytes(frame) })
  } catch (cause) {
    throw notZstd(key, cause)
  }
}

/** One spare byte: a buffer that is filled to the brim makes Node allocate a second one of the same size. */
function chunkBytes({ rawBytes }: Frame): number {
  return Math.max(64, (rawBytes ?? USUAL_RAW_BYTES) + 1)
}

/** All that an object of moderate size holds, such as a WAL segment. Throws `object_damaged` naming `key`. */
export async function decompress(stored: Buffer, key: string): Promise<Buffer> {
  const pieces = await Promise.all(framesOf(stored, key).map((frame) => decompressFrame(frame, key)))
  return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces)
}

function notZstd(key: string, cause: unknown): PostboxError {
  return new PostboxError(
    'object_damaged',
    `${key} is not valid zstd`,
    'The object is damaged. Restore another backup; see "postbox list".',
    { cause },
  )
}
