import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import { asPostboxError, PostboxError } from '../errors.js'

/** A compressed segment: frames of at most FRAME_BYTES of input, and the hashes of all of them together. */
export interface CompressedSegment {
  chunks: Buffer[]
  sha256: Buffer
  md5: Buffer
}

export interface SegmentTask {
  id: number
  memory: SharedArrayBuffer
  offset: number
  bytes: number
  level: number
}

export interface SegmentDone {
  id: number
  chunks: Uint8Array<ArrayBuffer>[]
  sha256: Uint8Array
  md5: Uint8Array
}

interface Thread {
  worker: Worker
  waiting: Map<number, PromiseWithResolvers<CompressedSegment>>
}

/**
 * Compresses and hashes segments in threads of its own, so that the thread that receives WAL and posts it does neither,
 * and no base backup's frames are before them in Node's own pool. Whoever opens it closes it.
 */
export class SegmentThreads {
  readonly #threads: Thread[] = []
  #tasks = 0

  /** @param count threads, started when they are first needed */
  constructor(readonly count: number) {}

  /** `raw` must lie in shared memory, and must not change until this resolves. */
  compress(raw: Buffer, level: number): Promise<CompressedSegment> {
    if (!(raw.buffer instanceof SharedArrayBuffer)) {
      throw new PostboxError('internal', 'a segment to compress lies in memory of one thread', 'Report it, please.')
    }
    const thread = this.#leastBusy()
    const id = ++this.#tasks
    const task: SegmentTask = { id, memory: raw.buffer, offset: raw.byteOffset, bytes: raw.length, level }
    const done = Promise.withResolvers<CompressedSegment>()
    thread.waiting.set(id, done)
    thread.worker.postMessage(task)
    return done.promise
  }

  /** Ends the threads; what they are at is rejected. */
  async close(): Promise<void> {
    await Promise.all(this.#threads.map(({ worker }) => worker.terminate()))
  }

  #leastBusy(): Thread {
    const idle = this.#threads.find(({ waiting }) => waiting.size === 0)
    if (idle) return idle
    if (this.#threads.length < this.count) return this.#start()
    return this.#threads.reduce((least, each) => (each.waiting.size < least.waiting.size ? each : least))
  }

  #start(): Thread {
    const worker = new Worker(new URL(`./segment-thread${extname(import.meta.url)}`, import.meta.url))
    const thread: Thread = { worker, waiting: new Map() }
    const fail = (cause: unknown) => {
      const at = this.#threads.indexOf(thread)
      if (at >= 0) this.#threads.splice(at, 1)
      for (const { reject } of thread.waiting.values()) reject(asPostboxError(cause))
      thread.waiting.clear()
    }
    worker.on('message', ({ id, chunks, sha256, md5 }: SegmentDone) => {
      const done = thread.waiting.get(id)
      thread.waiting.delete(id)
      done?.resolve({ chunks: chunks.map(asBuffer), sha256: asBuffer(sha256), md5: asBuffer(md5) })
    })
    worker.on('error', fail)
    worker.on('exit', () => {
      fail(new Error('the thread that compresses WAL has ended'))
    })
    // It never keeps the process from ending.
    worker.unref()
    this.#threads.push(thread)
    return thread
  }
}

const asBuffer = ({ buffer, byteOffset, byteLength }: Uint8Array): Buffer =>
  Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength)
