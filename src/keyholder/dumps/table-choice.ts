import type { DumpedTable, DumpManifest } from '../../box/dump-manifest.js'
import { PostboxError } from '../../errors.js'
import { nameAt, parseNames, partsOf, qualified, type QualifiedName } from '../../sql-text/names.js'
import { subjectOf, tiedSequences, type Subject } from '../../sql-text/subject.js'
import { tokensOf } from '../../sql-text/tokens.js'

/** Which tables of a dump are restored, with everything that is theirs. */
export class TableChoice {
  /** partitioned ones with their partitions */
  readonly #tables = new Set<QualifiedName>()
  /** of their sequences, indexes and statistics: the table */
  readonly #ownerOf = new Map<string, QualifiedName>()
  readonly #needed = new Set<QualifiedName>()

  /** `definitions`: all statements of the dump. Throws `bad_argument` for names that it does not have. */
  constructor(text: string, { tables }: DumpManifest, definitions: readonly string[]) {
    const known = new Set(tables.map(({ schema, name }) => qualified(schema, name)))
    const partitionsOf = new Map<QualifiedName, QualifiedName[]>()
    for (const sql of definitions) {
      const subject = subjectOf(sql)
      if (subject?.kind === 'table' && isTable(sql)) known.add(subject.name)
      if (subject?.needs && / attach partition /i.test(sql)) {
        partitionsOf.set(subject.name, [...(partitionsOf.get(subject.name) ?? []), subject.needs])
      }
      this.#note(sql, subject)
    }
    const add = (table: QualifiedName): void => {
      this.#tables.add(table)
      for (const partition of partitionsOf.get(table) ?? []) add(partition)
    }
    for (const table of chosen(text, [...known])) add(table)
    for (const sql of definitions) {
      const lacking = this.has(sql) ? this.lacks(sql) : null
      if (lacking !== null) this.#needed.add(lacking)
    }
  }

  hasTable({ schema, name }: DumpedTable): boolean {
    return this.#tables.has(qualified(schema, name))
  }

  get tables(): readonly QualifiedName[] {
    return [...this.#tables]
  }

  /** Tables that were not chosen, and that foreign keys of chosen ones refer to. */
  get needed(): readonly QualifiedName[] {
    return [...this.#needed]
  }

  /** Whether a statement is about what was chosen. */
  has(sql: string): boolean {
    const subject = subjectOf(sql)
    if (subject === null) return false
    const table = subject.kind === 'table' ? subject.name : this.#ownerOf.get(subject.kind + subject.name)
    // Older versions of pg_dump say ALTER TABLE of a sequence.
    const sequenceOf = subject.kind === 'table' ? this.#ownerOf.get('sequence' + subject.name) : undefined
    return [table, sequenceOf].some((one) => one !== undefined && this.#tables.has(one))
  }

  /** The table that a foreign key refers to, or that it is a partition or heir of, when that was not chosen. */
  lacks(sql: string): QualifiedName | null {
    const needs = subjectOf(sql)?.needs ?? null
    return needs !== null && !this.#tables.has(needs) ? needs : null
  }

  #note(sql: string, subject: Subject | null): void {
    for (const { sequence, table } of tiedSequences(sql)) this.#ownerOf.set(`sequence${sequence}`, table)
    if (subject?.kind !== 'table') return
    const tokens = [...tokensOf(sql)]
    const words = tokens.map((token) => token.toLowerCase())
    const kind = words[0] === 'create' ? words.find((word) => word === 'index' || word === 'statistics') : undefined
    if (kind === 'statistics') {
      const [schema, name] = nameAt(tokens, 2).parts
      this.#ownerOf.set(`statistics${qualified(schema!, name!)}`, subject.name)
      return
    }
    const constraint = words.findIndex((word, at) => word === 'add' && words[at + 1] === 'constraint')
    if (kind === undefined && constraint < 0) return
    // An index lies in its table's schema, and is named without it.
    const [name] = nameAt(tokens, kind === 'index' ? words.indexOf('index') + 1 : constraint + 2).parts
    this.#ownerOf.set(`index${qualified(partsOf(subject.name)[0], name!)}`, subject.name)
  }
}

/** An index or a trigger is about its table, and is none. */
const isTable = (sql: string): boolean => /^create (?:unlogged |foreign )?table /i.test(sql)

function chosen(text: string, known: readonly QualifiedName[]): QualifiedName[] {
  const names = parseNames(text)
  const hint = 'Name tables as in SQL, with commas between them: --tables \'orders,sales."Weird name"\'.'
  if (names === null) throw new PostboxError('bad_argument', `"${text}" is no list of tables`, hint)
  return names.map(({ schema, name }) => {
    const found = known.filter((one) => {
      const [ofSchema, ofTable] = partsOf(one)
      return ofTable === name && (schema === null || ofSchema === schema)
    })
    if (found.length === 1) return found[0]!
    const what = found.length === 0 ? 'the dump has no table' : 'the dump has several tables'
    const shown = schema === null ? name : `${schema}.${name}`
    throw new PostboxError('bad_argument', `${what} ${shown}`, found.length === 0 ? hint : 'Name its schema as well.')
  })
}
