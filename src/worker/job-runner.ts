import type { Logger } from 'pino'
import type { ClaimedJob } from '../catalog/catalog.js'
import { asPostboxError, type PostboxError } from '../errors.js'
import { Backoff } from './backoff.js'
import { runBaseBackup, type BaseBackupContext } from './base-backup-job.js'
import { jobCanceled } from './job-canceled.js'
import { JobProgress } from './job-progress.js'
import { Wakeup } from './wakeup.js'

/** The table is the truth; NOTIFY only spares most of this wait. */
const POLL_MS = 5000

export interface JobRunnerOptions {
  /** what a job works with, read anew for each */
  context: () => Promise<BaseBackupContext>
  catalog: BaseBackupContext['catalog']
  log: Logger
}

/** Claims and runs jobs, one at a time. */
export class JobRunner {
  readonly #wakeup = new Wakeup()
  #progress: JobProgress | null = null

  constructor(readonly options: JobRunnerOptions) {}

  /** A job was queued. */
  wake(): void {
    this.#wakeup.wake()
  }

  /** A cancellation was asked for. */
  checkCanceled(): void {
    this.#progress?.checkCanceled()
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
  async #runJob(job: ClaimedJob, workerSignal: AbortSignal): Promise<boolean> {
    const { catalog } = this.options
    const log = this.options.log.child({ job: String(job.job_id) })
    const canceling = new AbortController()
    const progress = new JobProgress(catalog, job.job_id, () => {
      canceling.abort(jobCanceled(job.job_id))
    })
    this.#progress = progress
    try {
      log.info({ kind: job.kind, attempt: job.attempt }, 'begin')
      const context = await this.options.context()
      const signal = AbortSignal.any([workerSignal, canceling.signal])
      await runBaseBackup(job, { ...context, log }, progress, { signal, workerSignal })
      return false
    } catch (thrown) {
      await progress.stop()
      // Nobody may say of the job what is not known: the next worker puts it back in the queue.
      if (workerSignal.aborted) return false
      return await this.#end(job, asPostboxError(thrown), log)
    } finally {
      await progress.stop()
      this.#progress = null
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
    await catalog.failJob(job.job_id, error, error.retryable)
    return error.retryable
  }
}
