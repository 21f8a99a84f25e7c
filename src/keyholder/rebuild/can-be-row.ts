import { parseLsn } from '../../wal/lsn.js'

/** Postgres's integer; bigints are as large as JavaScript's whole numbers at least. */
const INTEGERS = ['timeline', 'parts', 'tables', 'postgres_version_num']
const YEARS = { first: 1990, last: 2200 }

/**
 * Whether Postgres takes the values of a row. A manifest may come from whoever held a grant, and one value that no column
 * takes would end the whole rebuild.
 */
export function canBeRow(item: Readonly<Record<string, unknown>>): boolean {
  for (const [name, value] of Object.entries(item)) {
    if (typeof value === 'number' && !isCount(name, value)) return false
    if (typeof value === 'string' && !isText(name, value)) return false
  }
  const { start_lsn, stop_lsn, raw_bytes, masked, whole } = item
  if (typeof start_lsn === 'string' && parseLsn(start_lsn) > parseLsn(stop_lsn as string)) return false
  if ('parts' in item && raw_bytes === 0) return false
  return !(masked === true && whole === true)
}

function isCount(name: string, value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0 && (!INTEGERS.includes(name) || value <= 0x7fffffff)
}

function isText(name: string, value: string): boolean {
  if (value.includes('\0') || !value.isWellFormed()) return false
  if (!name.endsWith('_at')) return true
  const year = new Date(value).getUTCFullYear()
  return year >= YEARS.first && year <= YEARS.last
}
