/** A piece of SQL as Postgres's own scanner cuts it, with standard_conforming_strings on. */
export interface Token {
  kind: 'space' | 'comment' | 'word' | 'name' | 'string' | 'mark'
  /** where it begins, and the first character behind it */
  start: number
  end: number
}

const SPACE = /[ \t\r\n\f\v]+/y
const WORD = /[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*/y
const NUMBER = /[0-9][\w.]*/y
const DOLLAR_TAG = /\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$/y
/** May become a tag. */
const BEGUN_TAG = /\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?$/y

/**
 * The token at `start`; null when it may go on behind the end of `text`. `isLast`: nothing follows `text`.
 *
 * Bytes that were decoded as latin1 are read as well as characters.
 */
export function tokenAt(text: string, start: number, isLast: boolean): Token | null {
  const token = (kind: Token['kind'], end: number): Token | null =>
    end < 0 || (end >= text.length && !isLast) ? null : { kind, start, end: Math.min(end, text.length) }
  const one = text[start]!
  const two = text[start + 1]
  if (one === "'") return token('string', behindQuote(text, start, isLast))
  if (one === '"') return token('name', behindQuote(text, start, isLast))
  if (one === '-' && two === '-') return token('comment', behind(text, '\n', start, isLast))
  if (one === '/' && two === '*') return token('comment', behindBlockComment(text, start, isLast))
  if ((one === 'E' || one === 'e') && two === "'") return token('string', behindEscapes(text, start + 2, isLast))
  const tag = one === '$' ? match(DOLLAR_TAG, text, start) : null
  if (tag !== null) return token('string', behind(text, text.slice(start, tag), tag, isLast))
  if (one === '$' && !isLast && match(BEGUN_TAG, text, start) !== null) return null
  for (const [kind, pattern] of [
    ['space', SPACE],
    ['word', WORD],
    ['word', NUMBER],
  ] as const) {
    const end = match(pattern, text, start)
    if (end !== null) return token(kind, end)
  }
  // A lone one may be half of a longer token.
  return '-/'.includes(one) ? token('mark', start + 1) : { kind: 'mark', start, end: start + 1 }
}

/** All tokens but blanks and comments, as they are written. */
export function* tokensOf(text: string): Generator<string> {
  for (const { start, end } of tokensIn(text)) yield text.slice(start, end)
}

/** The same by their places. */
export function* tokensIn(text: string): Generator<Token> {
  for (let at = 0; at < text.length;) {
    const token = tokenAt(text, at, true)!
    if (token.kind !== 'space' && token.kind !== 'comment') yield token
    at = token.end
  }
}

function match(pattern: RegExp, text: string, start: number): number | null {
  pattern.lastIndex = start
  return pattern.test(text) ? pattern.lastIndex : null
}

/** First place behind the next `needle`; -1 when it is still to come. */
function behind(text: string, needle: string, from: number, isLast: boolean): number {
  const at = text.indexOf(needle, from)
  if (at >= 0) return at + needle.length
  return isLast ? text.length : -1
}

/** A quote that is doubled begins another string right behind this one, which cuts at the same places. */
function behindQuote(text: string, start: number, isLast: boolean): number {
  const quote = text[start]!
  for (let at = start; ;) {
    at = behind(text, quote, at + 1, isLast)
    if (at < 0 || at >= text.length || text[at] !== quote) return at
  }
}

function behindEscapes(text: string, from: number, isLast: boolean): number {
  for (let at = from; at < text.length; at += 1) {
    if (text[at] === '\\') at += 1
    else if (text[at] === "'") return at + 1
  }
  return isLast ? text.length : -1
}

/** They nest. */
function behindBlockComment(text: string, start: number, isLast: boolean): number {
  const EDGE = /\/\*|\*\//g
  EDGE.lastIndex = start
  let depth = 0
  for (let edge = EDGE.exec(text); edge; edge = EDGE.exec(text)) {
    depth += edge[0] === '/*' ? 1 : -1
    if (depth === 0) return EDGE.lastIndex
  }
  return isLast ? text.length : -1
}
