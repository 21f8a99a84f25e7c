import { join } from 'node:path'
import type { SandboxPostgres } from '../postgres.js'
import { run } from '../run.js'

/** A database as pg_dump prints it, the rows of each table sorted, without what differs from call to call. */
export async function databaseText(
  bin: string,
  postgres: SandboxPostgres,
  database: string,
  args: readonly string[] = [],
): Promise<string[]> {
  const text = await run(join(bin, 'pg_dump'), ['-N', 'backup', ...args, '-d', postgres.url({ database })])
  const lines: string[] = []
  let rows: string[] | null = null
  for (const line of text.split('\n')) {
    if (/^\\(un)?restrict /.test(line) || /^-- Dumped (from|by) /.test(line)) continue
    if (rows === null) lines.push(line)
    else if (line !== '\\.') rows.push(line)
    else {
      lines.push(...rows.sort(), line)
      rows = null
      continue
    }
    if (/^COPY .* FROM stdin;$/.test(line)) rows = []
  }
  return lines
}

/** Where two texts differ first, or null. The whole of both would say less. */
export function firstDifference(one: readonly string[], other: readonly string[]): string[] | null {
  const at = Array.from({ length: Math.max(one.length, other.length) }, (_, index) => index).find(
    (index) => one[index] !== other[index],
  )
  if (at === undefined) return null
  return [one, other].map((lines) => (lines[at] ?? '(its end)').slice(0, 200))
}
