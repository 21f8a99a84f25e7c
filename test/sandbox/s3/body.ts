import type { IncomingMessage } from 'node:http'
import { Cut } from './errors.js'

/** A request's body, read piece by piece into one buffer of its declared length. */
export class Body {
  readonly #pieces: AsyncIterator<Buffer>
  readonly #bytes: Buffer
  #received = 0

  /** `cutAfter`: the connection is ended once so many bytes have arrived. */
  constructor(
    request: IncomingMessage,
    readonly length: number,
    private cutAfter: number | null = null,
  ) {
    // Not destroyed on return: a refusal is answered while the rest of the body still arrives.
    this.#pieces = request.iterator({ destroyOnReturn: false }) as AsyncIterator<Buffer>
    this.#bytes = Buffer.allocUnsafeSlow(length)
  }

  /** From now on the connection is ended once so many bytes have arrived. */
  cutAt(bytes: number): void {
    this.cutAfter = bytes
  }

  /** What has arrived so far. */
  get received(): Buffer {
    return this.#bytes.subarray(0, this.#received)
  }

  /** Waits for more bytes; false at the end. */
  async more(): Promise<boolean> {
    if (this.cutAfter !== null && this.#received >= this.cutAfter) throw new Cut('cut in the body')
    let next: IteratorResult<Buffer>
    try {
      next = await this.#pieces.next()
    } catch {
      throw new Cut('the client went away')
    }
    if (next.done) return false
    next.value.copy(this.#bytes, this.#received)
    this.#received += next.value.length
    if (this.cutAfter !== null && this.#received >= this.cutAfter) throw new Cut('cut in the body')
    return true
  }

  /** Takes what still arrives, so that the connection can be used again after an early refusal. */
  async drain(): Promise<void> {
    try {
      while (await this.more());
    } catch {
      // The client left, as it may when it was refused.
    }
  }

  /** The whole body. */
  async whole(): Promise<Buffer> {
    while (await this.more());
    return this.received
  }
}
