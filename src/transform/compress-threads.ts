import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import { asPostboxError, PostboxError } from '../errors.js'

/** Frames of at most FRAME_BYTES of input each, and the hashes of all of them together. */
export interface CompressedSegment {
  chunks: Buffer[]
  sha256: Buffer
  md5: Buffer
}

export interface CompressTask {
  id: number
  memory: SharedArrayBuffer
  offset: number
  bytes: number
  level: number
  /** a segment, in frames and hashed, or a single frame without hashes */
  whole: 'segment' | 'frame'
}

export interface CompressDone {
  id: number
  chunks: Uint8Array<ArrayBuffer>[]
  hashes: { sha256: Uint8Array; md5: Uint8Array } | null
}

/** V8 would let 48 MiB of short-lived objects gather in each thread. What is large here lies outside of its heap. */
export const SMALL_YOUNG_GENERATION = { maxYoungGenerationSizeMb: 3 }

interface Thread {
  worker: Worker
  waiting: Map<number, PromiseWithResolvers<CompressDone>>
}

/**
 * Compresses in threads of its own, so that the thread that receives and posts does not, and WAL waits for no base
 * backup's frames. Such a thread does it at once, with all input and room for all output, where Node's own pool goes
 * through a stream, which costs zstd a tenth more and leaves much garbage. Whoever opens it closes it.
 */
export class CompressThreads {
  readonly #threads: Thread[] = []
  #tasks = 0

  /** @param count threads, started when they are first needed */
  constructor(readonly count: number) {}

  /** `raw` must lie in shared memory, and must not change until this resolves. */
  async compressSegment(raw: Buffer, level: number): Promise<CompressedSegment> {
    const { chunks, hashes } = await this.#run(raw, level, 'segment')
    return { chunks: chunks.map(asBuffer), sha256: asBuffer(hashes!.sha256), md5: asBuffer(hashes!.md5) }
  }

  /** The same, as one frame of its own. */
  async compressFrame(raw: Buffer, level: number): Promise<Buffer> {
    const { chunks } = await this.#run(raw, level, 'frame')
    return asBuffer(chunks[0]!)
  }

  #run(raw: Buffer, level: number, whole: CompressTask['whole']): Promise<CompressDone> {
    if (!(raw.buffer instanceof SharedArrayBuffer)) {
      throw new PostboxError('internal', 'what is to be compressed lies in memory of one thread', 'Report it, please.')
    }
    const thread = this.#leastBusy()
    const id = ++this.#tasks
    const task: CompressTask = { id, memory: raw.buffer, offset: raw.byteOffset, bytes: raw.length, level, whole }
    const done = Promise.withResolvers<CompressDone>()
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
    const file = new URL(`./compress-thread${extname(import.meta.url)}`, import.meta.url)
    const worker = new Worker(file, { resourceLimits: SMALL_YOUNG_GENERATION })
    const thread: Thread = { worker, waiting: new Map() }
    const fail = (cause: unknown) => {
      const at = this.#threads.indexOf(thread)
      if (at >= 0) this.#threads.splice(at, 1)
      for (const { reject } of thread.waiting.values()) reject(asPostboxError(cause))
      thread.waiting.clear()
    }
    worker.on('message', (done: CompressDone) => {
      const waiting = thread.waiting.get(done.id)
      thread.waiting.delete(done.id)
      waiting?.resolve(done)
    })
    worker.on('error', fail)
    worker.on('exit', () => {
      fail(new Error('a thread that compresses has ended'))
    })
    // It never keeps the process from ending.
    worker.unref()
    this.#threads.push(thread)
    return thread
  }
}

const asBuffer = ({ buffer, byteOffset, byteLength }: Uint8Array): Buffer =>
  Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength)
