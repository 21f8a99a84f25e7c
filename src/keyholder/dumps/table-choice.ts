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
  /** sequences that are no table's own, and the tables whose defaults use them */
  readonly #usersOf = new Map<QualifiedName, QualifiedName[]>()

  /** sequences that chosen tables use and do not own */
  readonly shared: ReadonlySet<QualifiedName>

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
    this.shared = this.#findShared()
    for (const sql of definitions) {
      const lacking = this.has(sql) ? this.lacks(sql) : null
      if (lacking !== null) this.#needed.add(lacking)
    }
  }

  hasTable({ schema, name }: Pick<DumpedTable, 'schema' | 'name'>): boolean {
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
    // Older versions of pg_dump say ALTER TABLE of a sequence.
    const owners = [subject.kind, 'sequence'].map((kind) => this.#ownerOf.get(kind + subject.name))
    const named = subject.kind === 'table' ? subject.name : undefined
    return [named, ...owners].some((one) => one !== undefined && this.#tables.has(one)) || this.shares(sql) !== null
  }

  /** The sequence that a statement is about, when a chosen table uses it and none owns it: others may use it too. */
  shares(sql: string): QualifiedName | null {
    const subject = subjectOf(sql)
    return subject !== null && this.shared.has(subject.name) ? subject.name : null
  }

  #findShared(): Set<QualifiedName> {
    const isChosen = (one: QualifiedName | undefined) => one !== undefined && this.#tables.has(one)
    const found = [...this.#usersOf].filter(
      ([sequence, users]) => users.some(isChosen) && !isChosen(this.#ownerOf.get(`sequence${sequence}`)),
    )
    return new Set(found.map(([sequence]) => sequence))
  }

  /** The table that a foreign key refers to, or that it is a partition or heir of, when that was not chosen. */
  lacks(sql: string): QualifiedName | null {
    const needs = subjectOf(sql)?.needs ?? null
    return needs !== null && !this.#tables.has(needs) ? needs : null
  }

  #note(sql: string, subject: Subject | null): void {
    for (const { sequence, table, owned } of tiedSequences(sql)) {
      if (owned) this.#ownerOf.set(`sequence${sequence}`, table)
      else this.#usersOf.set(sequence, [...(this.#usersOf.get(sequence) ?? []), table])
    }
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
