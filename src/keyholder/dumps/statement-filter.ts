import { nameAt } from '../../sql-text/names.js'
import { tokensOf } from '../../sql-text/tokens.js'

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

/** A setting of the session. One that is newer than the server is of no consequence. */
export const isSetting = (sql: string): boolean => /^set\s/i.test(sql)

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
  const tokens = [...tokensOf(sql)]
  return tokens
    .filter((token, at) => {
      const word = token.toLowerCase()
      const next = tokens[at + 1]?.toLowerCase()
      const last = tokens[at - 1]?.toLowerCase()
      return !(word === 'if' && next === 'exists') && !(word === 'exists' && last === 'if')
    })
    .join(' ')
}

/** A statement about a database, for another one; null when it is about something else. */
export function forDatabase(sql: string, quotedName: string): string | null {
  const tokens = [...tokensOf(sql)]
  const at = tokens.findIndex((token) => token.toLowerCase() === 'database')
  if (at < 0 || at > 5) return null
  const { next } = nameAt(tokens, at + 1)
  return [...tokens.slice(0, at + 1), quotedName, ...tokens.slice(next)].join(' ')
}

const wordsOf = (sql: string): string[] => [...tokensOf(sql)].map((token) => token.toLowerCase())
