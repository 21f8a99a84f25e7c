import { promisify } from 'node:util'
import zlib from 'node:zlib'

const zstdCompress = promisify(zlib.zstdCompress)

/** Node's default of 16 KiB costs a quarter of the speed. */
const CHUNK_BYTES = 1024 * 1024

function options(level: number): zlib.ZstdOptions {
  return {
    chunkSize: CHUNK_BYTES,
    params: {
      [zlib.constants.ZSTD_c_compressionLevel]: level,
      // Plain `zstd -d` then finds damage by itself; every part has a SHA-256 besides.
      [zlib.constants.ZSTD_c_checksumFlag]: 1,
    },
  }
}

/** One independent zstd frame of the bytes, made on the thread pool. `level`: 1 to 19. */
export function compressFrame(bytes: Buffer, level: number): Promise<Buffer> {
  return zstdCompress(bytes, options(level))
}

/** The same, made at once, for a thread that does nothing else. */
export function compressFrameNow(bytes: Buffer, level: number): Buffer {
  return zlib.zstdCompressSync(bytes, options(level))
}

/** Bytes as a run of frames of at most `frameBytes` of input each, compressed side by side. */
export function compressFrames(bytes: Buffer, level: number, frameBytes: number): Promise<Buffer[]> {
  const frames: Promise<Buffer>[] = []
  for (let at = 0; at < bytes.length; at += frameBytes) {
    frames.push(compressFrame(bytes.subarray(at, at + frameBytes), level))
  }
  return Promise.all(frames)
}
