import { pino } from 'pino'
import { expect, test, vi } from 'vitest'
import type { Catalog, ClaimedJob } from '../../src/catalog/catalog.js'
import { PostboxError } from '../../src/errors.js'
import { Backoff } from '../../src/worker/backoff.js'
import { JobRunner } from '../../src/worker/job-runner.js'

test.each([
  ['has failed for good', 'failed', 0],
  ['waits for another attempt', 'queued', 1],
] as const)('a job that %s keeps the next one waiting so often: %s, %i', async (_, state, waits) => {
  const wait = vi.spyOn(Backoff.prototype, 'wait').mockResolvedValue()
  const ending = new AbortController()
  const jobs = [{ job_id: 1n }, { job_id: 2n }] as ClaimedJob[]
  const catalog = {
    claimJob: () => Promise.resolve(jobs.shift() ?? null),
    failJob: () => Promise.resolve(state),
  } as unknown as Catalog
  const runJob = ({ job_id }: ClaimedJob) => {
    // Another attempt could help; whether there is one is known to the catalog.
    if (job_id === 1n) return Promise.reject(new PostboxError('box_unavailable', 'it is away', 'Wait.'))
    ending.abort()
    return Promise.resolve()
  }
  await new JobRunner({ catalog, runJob, log: pino({ level: 'silent' }) }).run(ending.signal)
  expect(wait).toHaveBeenCalledTimes(waits)
  wait.mockRestore()
})
