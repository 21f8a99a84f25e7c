import { tokensOf } from './tokens.js'

/** A schema and a name in it, as the key of a Map or Set: the same object always has the same. */
export type QualifiedName = string

export const qualified = (schema: string, name: string): QualifiedName => JSON.stringify([schema, name])

export const partsOf = (name: QualifiedName): [schema: string, name: string] =>
  JSON.parse(name) as [schema: string, name: string]

/** The name as SQL, quoted where it must be, and sometimes where it need not be. */
export const sqlName = (name: QualifiedName): string => partsOf(name).map(quoted).join('.')

const quoted = (name: string): string => (/^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`)

/** What an identifier means: "We""ird" is We"ird, Plain is plain. */
export function unquoteName(token: string): string {
  return token.startsWith('"') ? token.slice(1, -1).replaceAll('""', '"') : token.toLowerCase()
}

/** The parts of a dotted name that begins at token `at`, and the token behind it. */
export function nameAt(tokens: readonly string[], at: number): { parts: string[]; next: number } {
  const parts: string[] = []
  for (let next = at; next < tokens.length; next += 2) {
    parts.push(unquoteName(tokens[next]!))
    if (tokens[next + 1] !== '.') return { parts, next: next + 1 }
  }
  return { parts, next: tokens.length }
}

/**
 * Names that a person gives, as in SQL, with commas between them: `orders, sales."Weird, name"`. The schema is null where
 * none is given. Null when it is no list of names.
 */
export function parseNames(text: string): { schema: string | null; name: string }[] | null {
  const tokens = [...tokensOf(text)]
  const names: { schema: string | null; name: string }[] = []
  for (let at = 0; ;) {
    const { parts, next } = nameAt(tokens, at)
    if (parts.length > 2 || parts.includes('') || !isName(tokens[at]) || tokens[next - 1] === '.') return null
    names.push({ schema: parts.length === 2 ? parts[0]! : null, name: parts.at(-1)! })
    if (next >= tokens.length) return names
    if (tokens[next] !== ',') return null
    at = next + 1
  }
}

const isName = (token: string | undefined): boolean => token !== undefined && /^["A-Za-z_\u0080-\uffff]/.test(token)
