import type { WriteStream } from 'node:tty'

const ESCAPE = '\u001b['
// Without line wrap a line that is too long is cut by the terminal, however wide its characters are.
const BEGIN = `${ESCAPE}?25l${ESCAPE}?7l`
const END = `${ESCAPE}?7h${ESCAPE}?25h`

/** Lines at the end of a terminal that are drawn again in the same place. */
export class LiveLines {
  #drawn = 0

  constructor(readonly terminal: Pick<WriteStream, 'write' | 'rows'>) {}

  /** Draws these in place of the last ones; of more than the terminal shows, the last. */
  draw(lines: readonly string[]): void {
    const fitting = lines.slice(-Math.max(1, (this.terminal.rows || 24) - 1))
    const up = this.#drawn === 0 ? '' : `${ESCAPE}${this.#drawn}A`
    // In one write, so that nobody sees half of it.
    const text = fitting.map((line) => `\r${line}${ESCAPE}K\n`).join('')
    this.terminal.write(`${BEGIN}${up}${text}${ESCAPE}J${END}`)
    this.#drawn = fitting.length
  }
}
