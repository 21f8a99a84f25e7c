import { createHash } from 'node:crypto'
import { parentPort } from 'node:worker_threads'
import { compressFrameNow } from './compress.js'
import { FRAME_BYTES } from './frame-pool.js'
import type { SegmentDone, SegmentTask } from './segment-threads.js'

/** The thread that compresses segments, each frame hashed while it is in the processor's cache. Started by segment-threads.ts. */
const port = parentPort!

port.on('message', ({ id, memory, offset, bytes, level }: SegmentTask) => {
  const raw = Buffer.from(memory, offset, bytes)
  const sha256 = createHash('sha256')
  const md5 = createHash('md5')
  const chunks: Buffer<ArrayBuffer>[] = []
  for (let at = 0; at < bytes; at += FRAME_BYTES) {
    const frame = compressFrameNow(raw.subarray(at, at + FRAME_BYTES), level)
    sha256.update(frame)
    md5.update(frame)
    chunks.push(frame)
  }
  const done: SegmentDone = { id, chunks, sha256: sha256.digest(), md5: md5.digest() }
  port.postMessage(
    done,
    chunks.map(({ buffer }) => buffer),
  )
})
