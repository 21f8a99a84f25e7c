import type { PostboxError } from '../errors.js'

/** Whether the slot keeps WAL, for jobs that must not begin before it does. */
export class SlotReadiness {
  #ready = false
  #try = nextTry()

  succeeded(): void {
    this.#ready = true
    this.#try.resolve(undefined)
  }

  /** The slot is no longer read from: whoever waits is told why. */
  forget(why: PostboxError): void {
    this.#ready = false
    this.failed(why)
  }

  /** Whoever waits is told why; whoever asks from now on waits for the next try. */
  failed(error: PostboxError): void {
    if (this.#ready) return
    this.#try.reject(error)
    this.#try = nextTry()
  }

  /** Resolves once the slot is there. Rejects with why the next try failed, or with the signal's reason. */
  async wait(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    const aborted = Promise.withResolvers<never>()
    const abort = () => {
      aborted.reject(signal.reason as Error)
    }
    signal.addEventListener('abort', abort, { once: true })
    await Promise.race([this.#try.promise, aborted.promise]).finally(() => {
      signal.removeEventListener('abort', abort)
    })
  }
}

function nextTry(): PromiseWithResolvers<undefined> {
  const outcome = Promise.withResolvers<undefined>()
  // It may fail while nobody waits.
  outcome.promise.catch(() => undefined)
  return outcome
}
