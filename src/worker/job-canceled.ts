import { PostboxError } from '../errors.js'

/** What a canceled job ends with; not a failure. */
export function jobCanceled(jobId: bigint): PostboxError {
  return new PostboxError('job_canceled', `job ${jobId} was canceled`, 'Start another one when it is wanted.')
}
