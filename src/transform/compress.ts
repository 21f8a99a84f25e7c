import { promisify } from 'node:util'
import zlib from 'node:zlib'
import { giveBack } from './give-back.js'

const zstdCompress = promisify(zlib.zstdCompress)

/** One independent zstd frame of the bytes, made on the thread pool. `level`: 1 to 19. */
export async function compressFrame(bytes: Buffer, level: number): Promise<Buffer> {
  return exact(await zstdCompress(bytes, options(bytes.length, level)))
}

/** The same, made at once, for a thread that does nothing else. */
export function compressFrameNow(bytes: Buffer, level: number): Buffer<ArrayBuffer> {
  return exact(zlib.zstdCompressSync(bytes, options(bytes.length, level)))
}

/** Bytes as a run of frames of at most `frameBytes` of input each, compressed side by side. */
export function compressFrames(bytes: Buffer, level: number, frameBytes: number): Promise<Buffer[]> {
  const frames: Promise<Buffer>[] = []
  for (let at = 0; at < bytes.length; at += frameBytes) {
    frames.push(compressFrame(bytes.subarray(at, at + frameBytes), level))
  }
  return Promise.all(frames)
}

function options(bytes: number, level: number): zlib.ZstdOptions {
  return {
    // With room for all of it, zstd works on the bytes where they lie, else on copies in a window of its own.
    chunkSize: mostCompressed(bytes),
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

/** A frame in memory of its own, which may change hands, in place of the room that it was given. */
function exact(frame: Buffer): Buffer<ArrayBuffer> {
  const copy = Buffer.allocUnsafeSlow(frame.length)
  frame.copy(copy)
  giveBack(frame)
  return copy
}
