import { parentPort, workerData } from 'node:worker_threads'
import type { Grant } from '../box/grant.js'
import { takeCounts, type PostCounts } from '../box/post-counts.js'
import { createThrottle } from '../box/throttle.js'
import { openCatalog } from '../catalog/catalog.js'
import { asPostboxError } from '../errors.js'
import { createLog } from '../log.js'
import { plain, unplain } from '../plain-error.js'
import { Secret } from '../secret.js'
import { runBaseBackup } from './base-backup-job.js'
import { runDump } from './dump-job.js'
import { jobCanceled } from './job-canceled.js'
import { JobProgress } from './job-progress.js'
import { openBox } from './open-box.js'
import { Source } from './source.js'
import type { FromJob, JobThreadData, Question, ToJob } from './thread-messages.js'

/** The thread that runs one job, so that its copying and hashing never keep WAL waiting. Started by job-launcher.ts. */
const port = parentPort!
const data = workerData as JobThreadData
const jobId = data.job.job_id
const log = createLog(data.logLevel).child({ job: String(jobId) })
const databaseUrl = new Secret(data.databaseUrl)
const sourceUrls = data.sourceUrls.map((url) => new Secret(url))
const throttle = createThrottle(data.settings.upload_rate_limit)
const workerEnding = new AbortController()
const canceling = new AbortController()
const waiting = new Map<number, PromiseWithResolvers<boolean>>()
let grant: Grant = data.grant
let progress: JobProgress | null = null
let questions = 0
const counts: PostCounts = new Map()
/** A scrape comes every few seconds at most. */
const COUNTS_EVERY_MS = 2000

port.on('message', (message: ToJob) => {
  switch (message.kind) {
    case 'answer': {
      const { resolve, reject } = waiting.get(message.id)!
      waiting.delete(message.id)
      if (message.error) reject(unplain(message.error))
      else resolve(message.value)
      return
    }
    case 'grant':
      grant = message.grant
      return
    case 'rate':
      throttle.setRate(message.bytesPerSecond)
      return
    case 'debit':
      void throttle.take(message.bytes, { signal: workerEnding.signal, urgent: true })
      return
    case 'check_canceled':
      progress?.checkCanceled()
      return
    case 'abort':
      workerEnding.abort(unplain(message.error))
  }
})

/** Asks the main thread. Rejects with the signal's reason when the job is to end meanwhile. */
function ask(question: Question, signal: AbortSignal): Promise<boolean> {
  const id = ++questions
  const asked = Promise.withResolvers<boolean>()
  waiting.set(id, asked)
  const leave = () => {
    asked.reject(signal.reason as Error)
  }
  signal.addEventListener('abort', leave, { once: true })
  const message: FromJob = { kind: 'ask', id, question }
  port.postMessage(message)
  return asked.promise.finally(() => {
    signal.removeEventListener('abort', leave)
  })
}

async function run(): Promise<void> {
  await using catalog = await openCatalog(databaseUrl)
  const { signal: workerSignal } = workerEnding
  const signal = AbortSignal.any([workerSignal, canceling.signal])
  await using box = openBox({
    grant: () => grant,
    refresh: (during) => ask({ what: 'newer_grant' }, during),
    connections: data.settings.upload_connections,
    throttle,
    ca: data.ca,
    catalog,
    counts,
  })
  const telling = setInterval(tellCounts, COUNTS_EVERY_MS)
  const wal = {
    slotReady: async (during: AbortSignal) => void (await ask({ what: 'slot_ready' }, during)),
    stored: async (timeline: number, lsn: bigint, during: AbortSignal) =>
      void (await ask({ what: 'wal_stored', timeline, lsn }, during)),
  }
  progress = new JobProgress(catalog, jobId, () => {
    canceling.abort(jobCanceled(jobId))
  })
  const { settings, threads, job } = data
  const source = new Source(catalog, databaseUrl, sourceUrls, log)
  const context = { catalog, box, grant: () => grant, settings, threads, log }
  try {
    const signals = { signal, workerSignal }
    if (job.kind === 'base') await runBaseBackup(job, { ...context, source, wal }, progress, signals)
    else await runDump(job, { ...context, databaseUrl }, progress, signals)
  } finally {
    clearInterval(telling)
    await progress.stop()
    tellCounts()
  }
}

function tellCounts(): void {
  const taken = takeCounts(counts)
  if (!taken) return
  const message: FromJob = { kind: 'counts', counts: taken }
  port.postMessage(message)
}

const ended: FromJob = await run().then(
  () => ({ kind: 'ended', error: null }),
  (thrown: unknown) => ({ kind: 'ended', error: plain(asPostboxError(thrown)) }),
)
port.postMessage(ended)
port.close()
