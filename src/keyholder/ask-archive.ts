import pRetry from 'p-retry'
import { PostboxError } from '../errors.js'
import { archiveError } from './archive-error.js'

export interface ArchiveOptions {
  signal?: AbortSignal
  /** how long one request is tried again while the archive does not answer, on top of the SDK's own tries */
  patienceMs?: number
}

/** No answer, or no byte of a body, for this long is a dead peer. */
const SILENCE_MS = 60_000
const PATIENCE_MS = 15_000

/** One try of a request. */
export interface Attempt {
  signal: AbortSignal
  /** tells that the other side is alive */
  heard(): void
}

/** Runs a request, again where the archive does not answer. Throws errors of ours alone. */
export async function asking<T>(
  bucket: string,
  doing: string,
  { signal, patienceMs = PATIENCE_MS }: ArchiveOptions,
  request: (attempt: Attempt) => Promise<T>,
): Promise<T> {
  const attempt = async () => {
    const silence = new AbortController()
    const timer = setTimeout(() => silence.abort(), SILENCE_MS)
    try {
      const both = signal ? AbortSignal.any([signal, silence.signal]) : silence.signal
      return await request({ signal: both, heard: () => timer.refresh() })
    } catch (thrown) {
      if (signal?.aborted) throw interrupted(signal)
      throw archiveError(thrown, bucket, doing)
    } finally {
      clearTimeout(timer)
    }
  }
  const retrying = pRetry(attempt, {
    retries: 1_000,
    minTimeout: 250,
    maxTimeout: 5_000,
    maxRetryTime: patienceMs,
    randomize: true,
    ...(signal && { signal }),
    shouldRetry: ({ error }) => error instanceof PostboxError && error.code === 'archive_unavailable',
  })
  return retrying.catch((error: unknown) => {
    throw signal?.aborted ? interrupted(signal) : error
  })
}

function interrupted(signal: AbortSignal): PostboxError {
  if (signal.reason instanceof PostboxError) return signal.reason
  return new PostboxError('interrupted', 'the command was interrupted', 'Run it again.')
}
