import { createHash } from 'node:crypto'
import { parentPort } from 'node:worker_threads'
import { compressFrameNow } from './compress.js'
import { FRAME_BYTES } from './frame-pool.js'
import type { CompressDone, CompressTask } from './compress-threads.js'

/** A thread that compresses, and hashes each frame while it is in the processor's cache. Started by compress-threads.ts. */
const port = parentPort!

port.on('message', ({ id, memory, offset, bytes, level, whole }: CompressTask) => {
  const raw = Buffer.from(memory, offset, bytes)
  const { chunks, hashes } =
    whole === 'segment' ? segment(raw, level) : { chunks: [compressFrameNow(raw, level)], hashes: null }
  const done: CompressDone = { id, chunks, hashes }
  port.postMessage(
    done,
    chunks.map(({ buffer }) => buffer),
  )
})

function segment(raw: Buffer, level: number): Pick<CompressDone, 'hashes'> & { chunks: Buffer<ArrayBuffer>[] } {
  const sha256 = createHash('sha256')
  const md5 = createHash('md5')
  const chunks: Buffer<ArrayBuffer>[] = []
  for (let at = 0; at < raw.length; at += FRAME_BYTES) {
    const frame = compressFrameNow(raw.subarray(at, at + FRAME_BYTES), level)
    sha256.update(frame)
    md5.update(frame)
    chunks.push(frame)
  }
  return { chunks, hashes: { sha256: sha256.digest(), md5: md5.digest() } }
}
