import { once } from 'node:events'
import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import { PostboxError } from '../errors.js'
import { unplain, type PlainError } from '../plain-error.js'
import { SMALL_YOUNG_GENERATION } from '../transform/compress-threads.js'

/** A stored segment that is to become a file. */
export interface UnpackTask {
  /** begins with the stored bytes; must not change until the task is done */
  memory: SharedArrayBuffer
  /** how many they are */
  bytes: number
  key: string
  /** the content mark of its key */
  mark: string
  /** of the segment */
  name: string
  systemIdentifier: string
  /** a file that is there */
  to: string
}

/** A thread's answer to a task. */
export interface Unpacked {
  error: PlainError | null
}

/**
 * Threads that decompress, verify and write segments, apart from the one that fetches: megabytes that come and go make
 * V8 collect garbage again and again, which costs little where nothing else is loaded. Whoever opens them closes them.
 */
export class UnpackThreads {
  readonly #threads: Worker[]
  readonly #idle: Worker[]
  readonly #waiting: ((thread: Worker) => void)[] = []

  /** @param count threads, started at once */
  constructor(count: number) {
    const program = new URL(`./unpack-thread${extname(import.meta.url)}`, import.meta.url)
    const options = { resourceLimits: SMALL_YOUNG_GENERATION }
    this.#threads = Array.from({ length: count }, () => new Worker(program, options))
    this.#idle = [...this.#threads]
    // A thread that is at nothing and dies is found out by its next task.
    for (const thread of this.#threads) thread.on('error', () => undefined)
  }

  /** Writes one segment's raw bytes to its file, which is not synced. Rejects with `object_damaged` or `wal_invalid`. */
  async unpack(task: UnpackTask): Promise<void> {
    const thread = this.#idle.shift() ?? (await new Promise<Worker>((resolve) => this.#waiting.push(resolve)))
    try {
      await ask(thread, task)
    } finally {
      const next = this.#waiting.shift()
      if (next) next(thread)
      else this.#idle.push(thread)
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.terminate()))
  }
}

async function ask(thread: Worker, task: UnpackTask): Promise<void> {
  // Without a thread there is neither an answer nor an exit.
  if (thread.threadId === -1) throw threadEnded()
  const ending = new AbortController()
  const options = { signal: ending.signal }
  try {
    const answered = once(thread, 'message', options) as Promise<[Unpacked]>
    const exited = once(thread, 'exit', options).then((): never => {
      throw threadEnded()
    })
    thread.postMessage(task)
    const [{ error }] = await Promise.race([answered, exited])
    if (error) throw unplain(error)
  } finally {
    ending.abort()
  }
}

function threadEnded(): PostboxError {
  return new PostboxError('internal', 'a thread that unpacks WAL has ended', 'Report it, please.')
}
