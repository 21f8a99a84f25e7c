import { once } from 'node:events'
import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import type { PostCounts } from '../box/post-counts.js'
import type { Grant } from '../box/grant.js'
import { asPostboxError, PostboxError } from '../errors.js'
import type { WalPosition } from './base-backup-job.js'
import { plain, unplain } from '../plain-error.js'
import { SMALL_YOUNG_GENERATION } from '../transform/compress-threads.js'
import type { FromJob, JobThreadData, Question, ToJob } from './thread-messages.js'

export interface JobLauncherOptions {
  wal: WalPosition
  /** gets a newer grant; resolves to whether there is one */
  refreshGrant: (signal: AbortSignal) => Promise<boolean>
  grant: () => Grant
  /** what the job has posted since the last time */
  onCounts: (counts: PostCounts) => void
}

/** A thread that does not end by itself after this is ended. */
const ABORT_WITHIN_MS = 5000

/** Starts a thread for each job and talks to it. One job at a time. */
export class JobLauncher {
  #thread: Worker | null = null

  constructor(readonly options: JobLauncherOptions) {}

  /** Passes on what changed to the job under way; nothing happens when there is none. */
  tell(message: ToJob): void {
    this.#thread?.postMessage(message)
  }

  /** Runs one job to its end. Rejects with its error, or with the signal's reason when that is aborted. */
  async run(data: JobThreadData, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    const file = new URL(`./job-thread${extname(import.meta.url)}`, import.meta.url)
    const thread = new Worker(file, { workerData: data, resourceLimits: SMALL_YOUNG_GENERATION })
    this.#thread = thread
    const abort = () => {
      this.tell({ kind: 'abort', error: plain(asPostboxError(signal.reason)) })
      setTimeout(() => void thread.terminate(), ABORT_WITHIN_MS).unref()
    }
    signal.addEventListener('abort', abort, { once: true })
    try {
      await this.#ended(thread, signal)
    } finally {
      signal.removeEventListener('abort', abort)
      this.#thread = null
    }
  }

  async #ended(thread: Worker, signal: AbortSignal): Promise<void> {
    const ending = Promise.withResolvers<undefined>()
    thread.on('message', (message: FromJob) => {
      if (message.kind === 'ask') void this.#answer(thread, message.id, message.question, signal)
      else if (message.kind === 'counts') this.options.onCounts(message.counts)
      else if (message.error) ending.reject(unplain(message.error))
      else ending.resolve(undefined)
    })
    thread.on('error', (cause) => {
      ending.reject(asPostboxError(cause))
    })
    const exited = once(thread, 'exit').then(() => {
      signal.throwIfAborted()
      throw new PostboxError(
        'internal',
        'the thread of the job ended without a word',
        'Report it with the log, please.',
      )
    })
    await Promise.race([ending.promise, exited])
  }

  async #answer(thread: Worker, id: number, question: Question, signal: AbortSignal): Promise<void> {
    let answer: ToJob
    try {
      answer = { kind: 'answer', id, value: await this.#find(question, signal), error: null }
    } catch (thrown) {
      answer = { kind: 'answer', id, value: false, error: plain(asPostboxError(thrown)) }
    }
    thread.postMessage(answer)
  }

  async #find(question: Question, signal: AbortSignal): Promise<boolean> {
    const { wal, refreshGrant, grant } = this.options
    switch (question.what) {
      case 'slot_ready':
        await wal.slotReady(signal)
        return true
      case 'wal_stored':
        await wal.stored(question.timeline, question.lsn, signal)
        return true
      case 'newer_grant': {
        const newer = await refreshGrant(signal)
        this.tell({ kind: 'grant', grant: grant() })
        return newer
      }
    }
  }
}
