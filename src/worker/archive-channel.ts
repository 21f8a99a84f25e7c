import type { Socket } from 'node:net'
import type { Offer } from './archive-offer.js'

/**
 * What the worker answers, one JSON object a line, `state` first: `waiting` any number of times, to say that it lives;
 * `send` at most once, for the bytes of a `SentFile`; last how it ended. `unreadable`: a `NamedFile` is not to be had here.
 */
export type Reply =
  | { state: 'waiting' }
  | { state: 'send' }
  | { state: 'stored' }
  | { state: 'known' }
  | { state: 'unreadable' }
  | { state: 'failed'; code: string; message: string; hint: string }

/** Longer than any line of ours. */
const MAX_LINE_BYTES = 64 * 1024
const NEWLINE = 0x0a

/** One socket between archive-wal and the worker: lines of JSON, and raw bytes where they were agreed on. */
export class ArchiveChannel {
  readonly #chunks: AsyncIterator<Buffer>
  #rest: Buffer = Buffer.alloc(0)

  /** @param silenceMs how long the other side may say nothing that is waited for before the connection is given up */
  constructor(
    readonly socket: Socket,
    readonly silenceMs: number,
  ) {
    // Whoever reads learns of it; a write that fails has a reader that learns it too.
    socket.on('error', () => undefined)
    // For when nobody reads any more. What we write counts as well.
    socket.setTimeout(silenceMs, () => socket.destroy())
    this.#chunks = (socket as AsyncIterable<Buffer>)[Symbol.asyncIterator]()
  }

  send(line: Offer | Reply): void {
    this.socket.write(`${JSON.stringify(line)}\n`)
  }

  /** The next line, or null when the connection is over or what comes is no line. */
  async readLine(): Promise<unknown> {
    for (;;) {
      const end = this.#rest.indexOf(NEWLINE)
      if (end >= 0) {
        const line = this.#rest.toString('utf8', 0, end)
        this.#rest = this.#rest.subarray(end + 1)
        return parseJson(line)
      }
      if (this.#rest.length > MAX_LINE_BYTES) return null
      const chunk = await this.#next()
      if (!chunk) return null
      this.#rest = Buffer.concat([this.#rest, chunk])
    }
  }

  /** Fills `into`; resolves to false when the connection is over before that. */
  async readBytes(into: Buffer): Promise<boolean> {
    for (let at = 0; at < into.length;) {
      if (this.#rest.length === 0) {
        const chunk = await this.#next()
        if (!chunk) return false
        this.#rest = chunk
      }
      const taken = this.#rest.copy(into, at)
      this.#rest = this.#rest.subarray(taken)
      at += taken
    }
    return true
  }

  async #next(): Promise<Buffer | null> {
    const silence = setTimeout(() => this.socket.destroy(), this.silenceMs)
    try {
      const { value, done } = await this.#chunks.next()
      return done ? null : value
    } catch {
      return null
    } finally {
      clearTimeout(silence)
    }
  }
}

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return null
  }
}
