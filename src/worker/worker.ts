import { openCatalog } from '../catalog/catalog.js'
import { findPrimary } from '../catalog/find-primary.js'
import { openWorkerSession } from '../catalog/worker-session.js'
import { asPostboxError } from '../errors.js'
import { WalAge } from '../source/wal-age.js'
import { Backoff } from './backoff.js'
import { Source } from './source.js'
import { HeldSegments } from './segment-recorder.js'
import { WaitingChanges } from './waiting-changes.js'
import { Term, type TermMemory, type WorkerOptions } from './term.js'

/**
 * The worker: one term after another, each as long as its session with the database holds.
 *
 * Before its first term a mistake in the set-up ends it; after that it tries again for ever, since WAL waits in the slot.
 */
export async function runWorker(options: WorkerOptions, signal: AbortSignal): Promise<void> {
  const backoff = new Backoff(500, 15_000)
  const memory = { age: new WalAge(), held: new HeldSegments(), changes: new WaitingChanges() }
  let everStarted = false
  while (!signal.aborted) {
    try {
      await runTerm(options, signal, memory, () => {
        everStarted = true
        backoff.reset()
      })
    } catch (thrown) {
      if (signal.aborted) return
      const error = asPostboxError(thrown)
      if (!everStarted && !error.retryable) throw error
      options.log.error({ err: error, code: error.code, hint: error.hint }, 'the worker begins again')
      await backoff.wait(signal)
    }
  }
}

/** One term: from taking the worker lock to losing it. Throws what ended it, unless that was `signal`. */
async function runTerm(
  options: WorkerOptions,
  signal: AbortSignal,
  memory: TermMemory,
  onStarted: () => void,
): Promise<void> {
  const { databaseUrls, sourceUrls, log } = options
  const databaseUrl = await findPrimary(databaseUrls, (text) => {
    log.warn(text)
  })
  const ending = new AbortController()
  const termSignal = AbortSignal.any([signal, ending.signal])
  let term: Term | null = null
  const session = await openWorkerSession(databaseUrl, {
    onNotify: (payload) => term?.notice(payload),
    onLost: (error) => {
      ending.abort(error)
    },
  })
  try {
    await session.lock(termSignal, () => {
      log.warn('another worker serves this catalog: waiting for it to end')
    })
    await using catalog = await openCatalog(databaseUrl)
    const source = new Source(catalog, databaseUrl, sourceUrls, log)
    await source.checkBegin(termSignal)
    term = await Term.begin(options, { databaseUrl, session, catalog, source }, memory, ending)
    onStarted()
    await term.run(termSignal)
    if (!signal.aborted) termSignal.throwIfAborted()
  } finally {
    await session.close()
  }
}
