import { unquoteName, type QualifiedName } from '../../sql-text/names.js'
import { subjectOf } from '../../sql-text/subject.js'
import { tokensIn, tokensOf } from '../../sql-text/tokens.js'

/** Whether a statement does nothing but say whose something is. */
export function setsOwner(sql: string): boolean {
  const words = wordsOf(sql)
  return words[0] === 'alter' && words.at(-3) === 'owner' && words.at(-2) === 'to'
}

/** Whether a statement does nothing but say who may do what. */
export function setsPrivileges(sql: string): boolean {
  const words = wordsOf(sql)
  return words[0] === 'grant' || words[0] === 'revoke' || (words[0] === 'alter' && words[1] === 'default')
}

/** A parameter of the session, which goes for all that follows. One that is newer than the server is of no consequence. */
export const isSetting = (sql: string): boolean => /^set [\w.]+ = /i.test(sql)

/** Its parameter. */
export const settingOf = (sql: string): string => wordsOf(sql)[1] ?? ''

/** Whether a setting says in which tablespace things are made. */
export const setsTablespace = (sql: string): boolean => isSetting(sql) && settingOf(sql) === 'default_tablespace'

/** CREATE DATABASE, in the default tablespace; other statements as they are. */
export function withoutTablespace(sql: string): string {
  if (!/^create database /i.test(sql)) return sql
  const tokens = [...tokensIn(sql)]
  const at = tokens.findIndex(({ start, end }) => sql.slice(start, end).toLowerCase() === 'tablespace')
  const [word, , name] = at < 3 ? [] : tokens.slice(at, at + 3)
  return word && name ? sql.slice(0, word.start).trimEnd() + sql.slice(name.end) : sql
}

/** The table of an index, or of a constraint with an index; else null. */
export function tableOfIndex(sql: string): QualifiedName | null {
  if (!/^create (unique )?index /i.test(sql)) {
    if (!/^alter table \S/i.test(sql)) return null
    const words = wordsOf(sql)
    const at = words.findIndex((word, place) => word === 'add' && words[place + 1] === 'constraint')
    if (at < 0 || !/^(primary|unique|exclude)$/.test(words[at + 3] ?? '')) return null
  }
  return subjectOf(sql)?.name ?? null
}

/**
 * Whether an index is built of its table's rows and of nothing else: it names nothing that is not Postgres's own but that
 * table, of whose columns there are no schemas. A user's function may read other tables, whatever it is declared as.
 */
export function needsTableAlone(sql: string): boolean {
  const tokens = [...tokensOf(sql)]
  const schemas = tokens.filter(
    (token, at) => tokens[at + 1] === '.' && tokens[at - 1] !== '.' && /^["\w\u0080-\uffff]/.test(token),
  )
  return schemas.filter((one) => unquoteName(one) !== 'pg_catalog').length === 1
}

/** Statements of one lane may run side by side; null: alone. Those of another lane wait for them. */
export function laneOf(sql: string): 'build' | 'refer' | null {
  if (/^create (unique )?index /i.test(sql)) return 'build'
  if (!/^alter table \S/i.test(sql)) return null
  const words = wordsOf(sql)
  const at = words.findIndex((word, place) => word === 'add' && words[place + 1] === 'constraint')
  if (at < 0) return null
  // Of what it refers to, the unique index must be there.
  return words.includes('references', at) ? 'refer' : 'build'
}

/** A statement that drops something, so that it fails where that is not there. */
export function withoutIfExists(sql: string): string {
  const tokens = [...tokensIn(sql)]
  const wordAt = (at: number) => (tokens[at] ? sql.slice(tokens[at].start, tokens[at].end).toLowerCase() : '')
  if (wordAt(0) !== 'drop' && wordAt(0) !== 'alter') return sql
  const kept: string[] = []
  let from = 0
  tokens.forEach(({ start }, at) => {
    if (wordAt(at) !== 'if' || wordAt(at + 1) !== 'exists') return
    kept.push(sql.slice(from, start))
    from = tokens[at + 1]!.end
  })
  return kept.join('') + sql.slice(from)
}

/** A statement about a database, for another one; null when it is about something else. */
export function forDatabase(sql: string, quotedName: string): string | null {
  const tokens = [...tokensIn(sql)]
  const at = tokens.findIndex(({ start, end }) => sql.slice(start, end).toLowerCase() === 'database')
  const name = tokens[at + 1]
  if (at < 0 || at > 5 || !name) return null
  return sql.slice(0, name.start) + quotedName + sql.slice(name.end)
}

const wordsOf = (sql: string): string[] => [...tokensOf(sql)].map((token) => token.toLowerCase())
