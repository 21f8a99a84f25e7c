/** Lets a loop sleep until it is woken, a time has passed, or it is to end. A wake that comes early is not lost. */
export class Wakeup {
  #pending = false
  #end: (() => void) | null = null

  wake(): void {
    this.#pending = true
    this.#end?.()
  }

  async wait(ms: number, signal: AbortSignal): Promise<void> {
    if (!this.#pending && !signal.aborted) {
      const woken = Promise.withResolvers<undefined>()
      const end = () => {
        woken.resolve(undefined)
      }
      const timer = setTimeout(end, ms)
      this.#end = end
      signal.addEventListener('abort', end, { once: true })
      await woken.promise
      clearTimeout(timer)
      // A loop waits thousands of times on one signal, which keeps every listener that is left on it.
      signal.removeEventListener('abort', end)
      this.#end = null
    }
    this.#pending = false
  }
}
