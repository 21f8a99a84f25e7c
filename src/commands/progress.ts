import { describeTransfer } from './transfer.js'

const REDRAW_MS = 200

/** One line on a terminal that shows how far a transfer has got; nothing where standard error is no terminal. */
export class Progress {
  #done = 0
  #drawnAt = 0
  readonly #startedAt = performance.now()

  constructor(
    readonly verb: string,
    readonly totalBytes: number,
    readonly shown = process.stderr.isTTY,
  ) {}

  add(bytes: number): void {
    this.#done += bytes
    const now = performance.now()
    if (!this.shown || now - this.#drawnAt < REDRAW_MS) return
    this.#drawnAt = now
    const perSecond = (this.#done / (now - this.#startedAt)) * 1000
    const line = `${this.verb} ${describeTransfer(this.#done, this.totalBytes, perSecond)}`
    process.stderr.write(`\r${line}\u001b[K`)
  }

  /** Takes the line away. */
  end(): void {
    if (this.shown && this.#drawnAt > 0) process.stderr.write('\r\u001b[K')
  }
}
