import { nameAt, partsOf, qualified, type QualifiedName } from './names.js'
import { tokensOf } from './tokens.js'

/** What a statement of pg_dump is about. */
export interface Subject {
  kind: 'table' | 'sequence' | 'index' | 'statistics'
  name: QualifiedName
  /** what else must be there: the parent of a partition, the table that a foreign key refers to */
  needs: QualifiedName | null
}

/** The table, or the part of a table, that a statement defines or changes; null when it is about something else. */
export function subjectOf(sql: string): Subject | null {
  const tokens = [...tokensOf(sql)]
  const words = tokens.map((token) => token.toLowerCase())
  switch (words[0]) {
    case 'create':
      return created(tokens, words)
    case 'alter':
    case 'drop':
      return altered(tokens, words)
    case 'comment':
    case 'security':
      return commented(tokens, words)
    case 'grant':
    case 'revoke':
      return granted(tokens, words)
    case 'select':
      return set(tokens)
    default:
      return null
  }
}

const about = (kind: Subject['kind'], parts: string[], needs: QualifiedName | null = null): Subject | null =>
  parts.length < 2 ? null : { kind, name: qualified(parts[0]!, parts[1]!), needs }

function created(tokens: string[], words: string[]): Subject | null {
  let at = 1
  while (['or', 'replace', 'unlogged', 'foreign', 'unique', 'constraint'].includes(words[at] ?? '')) at += 1
  const table = (from: number) => about('table', nameAt(tokens, words[from] === 'only' ? from + 1 : from).parts)
  switch (words[at]) {
    case 'table':
      return table(at + 1)
    case 'sequence':
      return about('sequence', nameAt(tokens, at + 1).parts)
    case 'index':
    case 'policy':
      return table(words.indexOf('on', at + 2) + 1)
    case 'trigger':
      return table(words.indexOf('on', at + 2) + 1)
    case 'rule':
      return table(words.indexOf('to', at + 2) + 1)
    case 'statistics':
      return table(words.lastIndexOf('from') + 1)
    default:
      return null
  }
}

function altered(tokens: string[], words: string[]): Subject | null {
  let at = words[1] === 'foreign' ? 2 : 1
  const kind = words[at]!
  at += 1
  while (['if', 'exists', 'only'].includes(words[at] ?? '')) at += 1
  switch (kind) {
    case 'table':
      return about('table', nameAt(tokens, at).parts, neededBy(tokens, words, at))
    case 'sequence': {
      const owned = words.findIndex((word, place) => word === 'owned' && words[place + 1] === 'by')
      const { parts } = nameAt(tokens, owned + 2)
      return about(
        kind,
        nameAt(tokens, at).parts,
        owned < 0 || parts.length < 3 ? null : qualified(parts[0]!, parts[1]!),
      )
    }
    case 'index':
    case 'statistics':
      return about(kind, nameAt(tokens, at).parts)
    case 'trigger':
    case 'policy':
    case 'rule':
      return about('table', nameAt(tokens, words.indexOf('on', at + 1) + 1).parts)
    default:
      return null
  }
}

/** ALTER TABLE parent ATTACH PARTITION child is about the parent, and needs the child. */
function neededBy(tokens: string[], words: string[], at: number): QualifiedName | null {
  const { next } = nameAt(tokens, at)
  const references = words.indexOf('references', next)
  const needed =
    words[next] === 'attach' ? next + 2 : words[next] === 'inherit' ? next + 1 : references < 0 ? null : references + 1
  if (needed === null) return null
  const { parts } = nameAt(tokens, needed)
  return parts.length < 2 ? null : qualified(parts[0]!, parts[1]!)
}

function commented(tokens: string[], words: string[]): Subject | null {
  // SECURITY LABEL FOR provider ON …
  const on = words.indexOf('on')
  const kind = words[on + 1]
  switch (kind) {
    case 'table':
    case 'sequence':
    case 'index':
    case 'statistics':
      return about(kind, nameAt(tokens, on + 2).parts)
    case 'column':
      return about('table', nameAt(tokens, on + 2).parts)
    case 'constraint':
    case 'trigger':
    case 'rule':
    case 'policy': {
      const of = words.indexOf('on', on + 3) + 1
      return words[of] === 'domain' ? null : about('table', nameAt(tokens, of).parts)
    }
    default:
      return null
  }
}

function granted(tokens: string[], words: string[]): Subject | null {
  const on = words.indexOf('on')
  const kind = words[on + 1]
  return kind === 'table' || kind === 'sequence' ? about(kind, nameAt(tokens, on + 2).parts) : null
}

/** SELECT pg_catalog.setval('public.orders_id_seq', 7, true) */
function set(tokens: string[]): Subject | null {
  const { parts, next } = nameAt(tokens, 1)
  if (parts.join('.') !== 'pg_catalog.setval' || tokens[next] !== '(') return null
  return about('sequence', nameIn(tokens[next + 1]!))
}

/** The name that a literal holds, such as 'public.orders_id_seq'. */
function nameIn(literal: string): string[] {
  return nameAt([...tokensOf(literal.slice(1, -1).replaceAll("''", "'"))], 0).parts
}

/** A sequence, and a table that needs it. */
export interface TiedSequence {
  sequence: QualifiedName
  table: QualifiedName
  /** by identity or OWNED BY; otherwise a default takes its values from it, and others may do so too */
  owned: boolean
}

/** Sequences that a statement ties to its table. */
export function tiedSequences(sql: string): TiedSequence[] {
  const tokens = [...tokensOf(sql)]
  const words = tokens.map((token) => token.toLowerCase())
  const subject = subjectOf(sql)
  const tie = (sequence: string[], table: string[], ofTable = true) =>
    sequence.length < 2 || table.length < 2
      ? []
      : [{ sequence: qualified(sequence[0]!, sequence[1]!), table: qualified(table[0]!, table[1]!), owned: ofTable }]
  const owned = words.findIndex((word, at) => word === 'owned' && words[at + 1] === 'by')
  if (owned > 0 && words[1] === 'sequence') return tie(nameAt(tokens, 2).parts, nameAt(tokens, owned + 2).parts)
  if (subject?.kind !== 'table') return []
  const table = partsOf(subject.name)
  return words.flatMap((word, at) => {
    if (word === 'nextval' && tokens[at + 1] === '(') return tie(nameIn(tokens[at + 2]!), table, false)
    if (word === 'sequence' && words[at + 1] === 'name') return tie(nameAt(tokens, at + 2).parts, table)
    return []
  })
}
