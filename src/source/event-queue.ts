/** Carries events from a socket's callbacks to one `for await`. Bounded by whoever pushes. */
export class EventQueue<T> implements AsyncIterable<T> {
  readonly #events: T[] = []
  #wake: (() => void) | null = null
  #ended = false
  #error: unknown = null
  #lastly: { error: unknown } | null = null

  push(event: T): void {
    this.#events.push(event)
    this.#wake?.()
  }

  /** No more events: the reader ends after the last one. */
  end(): void {
    this.#ended = true
    this.#wake?.()
  }

  /** The reader throws `error` after what still waits. */
  endWith(error: unknown): void {
    this.#lastly ??= { error }
    this.end()
  }

  /** The reader throws `error` now, whatever still waits. */
  fail(error: unknown): void {
    this.#error ??= error
    this.end()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    for (;;) {
      if (this.#error !== null) throw this.#error
      const event = this.#events.shift()
      if (event !== undefined) {
        yield event
      } else if (this.#ended) {
        if (this.#lastly) throw this.#lastly.error
        return
      } else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve
        })
        this.#wake = null
      }
    }
  }
}
