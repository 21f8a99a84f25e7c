import { promisify } from 'node:util'
import zlib from 'node:zlib'
import { giveBack } from './give-back.js'

const zstdCompress = promisify(zlib.zstdCompress)

/** More of Node's own chunks costs speed, and a larger one memory. */
const CHUNK_BYTES = 1024 * 1024

/** One independent zstd frame of the bytes, made on Node's thread pool. `level`: 1 to 19. */
export function compressFrame(bytes: Buffer, level: number): Promise<Buffer> {
  return zstdCompress(bytes, options(Math.min(mostCompressed(bytes.length), CHUNK_BYTES), level))
}

/**
 * The same, made at once, for a thread that does nothing else; in memory that may change hands.
 *
 * With room for all of it, zstd works on the bytes where they lie, else on copies in a window of its own.
 */
export function compressFrameNow(bytes: Buffer, level: number): Buffer<ArrayBuffer> {
  const roomy = zlib.zstdCompressSync(bytes, options(mostCompressed(bytes.length), level))
  const frame = Buffer.allocUnsafeSlow(roomy.length)
  roomy.copy(frame)
  giveBack(roomy)
  return frame
}

/** Bytes as a run of frames of at most `frameBytes` of input each, compressed side by side. */
export function compressFrames(bytes: Buffer, level: number, frameBytes: number): Promise<Buffer[]> {
  const frames: Promise<Buffer>[] = []
  for (let at = 0; at < bytes.length; at += frameBytes) {
    frames.push(compressFrame(bytes.subarray(at, at + frameBytes), level))
  }
  return Promise.all(frames)
}

function options(chunkSize: number, level: number): zlib.ZstdOptions {
  return {
    chunkSize,
    params: {
      [zlib.constants.ZSTD_c_compressionLevel]: level,
      // Plain `zstd -d` then finds damage by itself; every part has a SHA-256 besides.
      [zlib.constants.ZSTD_c_checksumFlag]: 1,
    },
  }
}

/** ZSTD_COMPRESSBOUND in zstd.h, generously. */
function mostCompressed(bytes: number): number {
  return bytes + Math.ceil(bytes / 256) + 1024
}
