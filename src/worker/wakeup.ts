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
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, ms)
        const end = () => {
          clearTimeout(timer)
          resolve()
        }
        this.#end = end
        signal.addEventListener('abort', end, { once: true })
      }).finally(() => {
        this.#end = null
      })
    }
    this.#pending = false
  }
}
