import type { Box, Part } from '../box/box.js'

/**
 * Posts parts side by side, at most `connections` at once.
 *
 * `add` waits while all connections are busy, so whoever makes parts is slowed to what the box takes. The first failure
 * ends it: `add` and `drain` throw it from then on.
 */
export class PartUploader {
  readonly #posting = new Set<Promise<void>>()
  readonly #ending = new AbortController()
  readonly #signal: AbortSignal
  #failure: unknown = null

  constructor(
    readonly box: Box,
    readonly connections: number,
    signal: AbortSignal,
  ) {
    this.#signal = AbortSignal.any([signal, this.#ending.signal])
  }

  /** @param onStored called when the part lies in the box; the part counts as posting until it resolves */
  async add(part: Part, onStored: () => Promise<void>): Promise<void> {
    this.#throwFailure()
    const posting = this.#post(part, onStored)
      .catch((thrown: unknown) => {
        this.#failure ??= thrown
        // Nobody needs what is posted beside it any more.
        this.#ending.abort(thrown)
      })
      .finally(() => this.#posting.delete(posting))
    this.#posting.add(posting)
    while (this.#posting.size >= this.connections) await Promise.race(this.#posting)
    this.#throwFailure()
  }

  /** Resolves when everything that was added is stored. */
  async drain(): Promise<void> {
    await Promise.all(this.#posting)
    this.#throwFailure()
  }

  async #post(part: Part, onStored: () => Promise<void>): Promise<void> {
    await this.box.post(part, this.#signal)
    await onStored()
  }

  #throwFailure(): void {
    if (this.#failure !== null) throw this.#failure
  }
}
