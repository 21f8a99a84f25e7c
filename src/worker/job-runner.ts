import type { Logger } from 'pino'
import type { Catalog, ClaimedJob } from '../catalog/catalog.js'
import { asPostboxError, type PostboxError } from '../errors.js'
import { Backoff } from './backoff.js'
import { Wakeup } from './wakeup.js'

/** The table is the truth; NOTIFY only spares most of this wait. */
const POLL_MS = 5000

export interface JobRunnerOptions {
  catalog: Catalog
  /** runs one job to its end; rejects with its error, `job_canceled` included */
  runJob: (job: ClaimedJob, signal: AbortSignal) => Promise<void>
  log: Logger
}

/** Claims jobs and has them run, one at a time. */
export class JobRunner {
  readonly #wakeup = new Wakeup()

  constructor(readonly options: JobRunnerOptions) {}

  /** A job was queued. */
  wake(): void {
    this.#wakeup.wake()
  }

  /** Runs until `signal` is aborted, which stops the job under way; its row then waits for the next worker. */
  async run(signal: AbortSignal): Promise<void> {
    const backoff = new Backoff(2000, 60_000)
    while (!signal.aborted) {
      const job = await this.options.catalog.claimJob()
      if (!job) {
        await this.#wakeup.wait(POLL_MS, signal)
        continue
      }
      const failed = await this.#runJob(job, signal)
      if (failed) await backoff.wait(signal)
      else backoff.reset()
    }
  }

  /** Resolves to whether the job was put back to be tried again. */
  async #runJob(job: ClaimedJob, signal: AbortSignal): Promise<boolean> {
    const log = this.options.log.child({ job: String(job.job_id) })
    try {
      log.info({ kind: job.kind, attempt: job.attempt }, 'begin')
      await this.options.runJob(job, signal)
      return false
    } catch (thrown) {
      // Nobody may say of the job what is not known: the next worker puts it back in the queue.
      if (signal.aborted) return false
      return await this.#end(job, asPostboxError(thrown), log)
    }
  }

  async #end(job: ClaimedJob, error: PostboxError, log: Logger): Promise<boolean> {
    const { catalog } = this.options
    if (error.code === 'job_canceled') {
      log.info('canceled')
      await catalog.endCanceled(job.job_id)
      return false
    }
    log.error({ err: error, code: error.code, hint: error.hint }, 'failed')
    return (await catalog.failJob(job.job_id, error, error.retryable)) === 'queued'
  }
}
