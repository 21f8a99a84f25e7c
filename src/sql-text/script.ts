import { PostboxError } from '../errors.js'
import { tokenAt, tokensOf, type Token } from './tokens.js'

/** What psql would do next. */
export type ScriptPiece =
  /** without its semicolon; `before`: the comments in front of it */
  | { kind: 'statement'; sql: string; before: string }
  /** COPY … FROM stdin; its rows follow, then their end */
  | { kind: 'copy'; sql: string }
  | { kind: 'rows'; rows: Buffer }
  | { kind: 'rows_end' }
  /** a command of psql's own, such as \connect */
  | { kind: 'meta'; command: string }

/**
 * Cuts what pg_dump printed where psql cuts it. Holds one statement at a time, or a piece of a COPY's rows.
 *
 * `decode`: of a text with a character for each byte. Throws `script_invalid` for what is no UTF-8, or ends in the middle.
 */
export async function* scriptPieces(
  chunks: AsyncIterable<Buffer> | Iterable<Buffer>,
  decode: (latin1: string) => string = fromUtf8,
): AsyncGenerator<ScriptPiece> {
  const script = new Script(decode)
  for await (const chunk of chunks) {
    // Byte by character: what is cut stays whole, whatever the encoding.
    script.text += chunk.toString('latin1')
    yield* script.pieces(false)
  }
  yield* script.pieces(true)
}

class Script {
  text = ''
  /** how far `text` was looked at */
  #at = 0
  #statement = new StatementEnd()
  #inRows = false
  /** whether the line of the COPY has not ended yet */
  #inCopyLine = false

  constructor(readonly decode: (latin1: string) => string) {}

  *pieces(isLast: boolean): Generator<ScriptPiece> {
    for (;;) {
      if (this.#inRows) {
        yield* this.#rows(isLast)
        if (this.#inRows) return
      }
      const piece = this.#next(isLast)
      if (piece === null) return
      yield piece
      this.#inRows = this.#inCopyLine = piece.kind === 'copy'
    }
  }

  /** Null when the rest of `text` is no whole piece. */
  #next(isLast: boolean): ScriptPiece | null {
    while (this.#at < this.text.length) {
      if (this.text[this.#at] === '\\' && this.#statement.start === null) {
        const end = this.text.indexOf('\n', this.#at)
        if (end < 0 && !isLast) return null
        return { kind: 'meta', command: this.#decode(this.#take(this.#at, end < 0 ? this.text.length : end)).trim() }
      }
      const token = tokenAt(this.text, this.#at, isLast)
      if (token === null) return null
      this.#at = token.end
      if (!this.#statement.add(token, this.text)) continue
      const start = this.#statement.start ?? token.start
      const before = this.#decode(this.text.slice(0, start))
      const sql = this.#decode(this.#take(start, token.start, token.end))
      if (sql !== '') return isCopy(sql) ? { kind: 'copy', sql } : { kind: 'statement', sql, before }
    }
    if (isLast && this.#statement.start !== null) throw invalid('it ends in the middle of a statement')
    return null
  }

  #decode(latin1: string): string {
    return this.decode(latin1).trimEnd()
  }

  /** Cuts off everything up to `behind`, and gives what is between. */
  #take(start: number, end: number, behind = end): string {
    const taken = this.text.slice(start, end)
    this.text = this.text.slice(behind)
    this.#at = 0
    this.#statement = new StatementEnd()
    return taken
  }

  /** `text` begins where a row does, once COPY's own line is behind. */
  *#rows(isLast: boolean): Generator<ScriptPiece> {
    if (this.#inCopyLine && this.text !== '') {
      const end = this.text.indexOf('\n')
      if (end >= 0) this.#take(0, end + 1)
      this.#inCopyLine = end < 0
    }
    if (this.#inCopyLine && !isLast) return
    const end = this.text.startsWith('\\.\n') ? 0 : this.text.indexOf('\n\\.\n') + 1
    if (end > 0 || this.text.startsWith('\\.\n')) {
      if (end > 0) yield { kind: 'rows', rows: Buffer.from(this.text.slice(0, end), 'latin1') }
      this.#take(end, end + 3)
      this.#inRows = false
      yield { kind: 'rows_end' }
      return
    }
    if (isLast) throw invalid('it ends in the middle of the rows of a COPY')
    const whole = this.text.lastIndexOf('\n') + 1
    if (whole > 0) yield { kind: 'rows', rows: Buffer.from(this.#take(0, whole), 'latin1') }
  }
}

/** Finds the semicolon that ends a statement, as psql does: not one in parentheses, nor in a body BEGIN ATOMIC … END. */
class StatementEnd {
  /** of the first token that is no comment */
  start: number | null = null
  #parentheses = 0
  #begun = 0
  #words: string[] = []
  /** the word right before, when nothing is between */
  #last = ''

  /** Whether the token ends the statement. */
  add({ kind, start, end }: Token, text: string): boolean {
    if (kind === 'space' || kind === 'comment') return false
    const last = this.#last
    this.#last = ''
    if (kind === 'mark') {
      const mark = text[start]!
      if (mark === ';' && this.#parentheses === 0 && this.#begun === 0) return true
      if (mark === '(') this.#parentheses += 1
      else if (mark === ')') this.#parentheses -= 1
    } else if (kind === 'word') {
      this.#follow(text.slice(start, end).toLowerCase(), last)
    }
    this.start ??= start
    return false
  }

  #follow(word: string, last: string): void {
    this.#last = word
    if (this.#words.length < 4) this.#words.push(word)
    if (this.#parentheses > 0 || !/^create (or replace )?(function|procedure)\b/.test(this.#words.join(' '))) return
    // Something may be named begin, without quotes; CASE and END are reserved.
    const begins = this.#begun === 0 ? word === 'atomic' && last === 'begin' : word === 'case'
    if (begins) this.#begun += 1
    else if (word === 'end' && this.#begun > 0) this.#begun -= 1
  }
}

function isCopy(sql: string): boolean {
  if (!/^copy\s/i.test(sql)) return false
  const [before, last] = [...tokensOf(sql)].slice(-2)
  return before?.toLowerCase() === 'from' && last?.toLowerCase() === 'stdin'
}

function fromUtf8(latin1: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.from(latin1, 'latin1'))
  } catch (cause) {
    throw invalid('it is no UTF-8', cause)
  }
}

function invalid(what: string, cause?: unknown): PostboxError {
  const hint = 'It is not what pg_dump prints: restore another dump.'
  return new PostboxError('script_invalid', `the SQL of the dump cannot be read: ${what}`, hint, { cause })
}
