/** What the demo prints: headings, what a person would type, and tables as psql draws them. */

const bold = (text: string): string => (process.stdout.isTTY ? `\x1b[1m${text}\x1b[0m` : text)
const dim = (text: string): string => (process.stdout.isTTY ? `\x1b[2m${text}\x1b[0m` : text)

let steps = 0

export function heading(text: string): void {
  process.stdout.write(`\n${bold(`${++steps}. ${text}`)}\n`)
}

export function say(text: string): void {
  process.stdout.write(`   ${text}\n`)
}

/** A command as typed; `where` is the side that it runs on. */
export function typed(where: 'database' | 'keyholder' | 'worker', text: string): void {
  process.stdout.write(`   ${dim(where.padEnd(9))} ${bold(text)}\n`)
}

/** Rows as psql draws them, under the statement that gave them. */
export function table(rows: readonly Record<string, unknown>[]): void {
  const columns = Object.keys(rows[0] ?? {})
  const cells = rows.map((row) => columns.map((column) => cellOf(row[column])))
  const widths = columns.map((column, at) => Math.max(column.length, ...cells.map((row) => row[at]!.length)))
  const line = (row: readonly string[]) =>
    row
      .map((cell, at) => ` ${cell.padEnd(widths[at]!)} `)
      .join('|')
      .trimEnd()
  const rule = widths.map((width) => '-'.repeat(width + 2)).join('+')
  for (const each of [line(columns), rule, ...cells.map(line)]) process.stdout.write(`             ${each}\n`)
}

/** Text as it came, indented. */
export function output(printed: string): void {
  for (const line of printed.trimEnd().split('\n')) process.stdout.write(`             ${line}\n`)
}

function cellOf(value: unknown): string {
  if (value === null || value === undefined) return ''
  if (value instanceof Date)
    return value
      .toISOString()
      .replace('T', ' ')
      .replace(/\.\d+Z/, ' UTC')
  if (typeof value === 'object') return JSON.stringify(value)
  return String(value as string | number | bigint | boolean)
}
