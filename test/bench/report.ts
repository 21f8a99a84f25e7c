import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

export interface BenchResult {
  title: string
  /** what was measured, and what the figures leave out */
  notes: string[]
  columns: string[]
  /** one row a run */
  rows: string[][]
  goals: Goal[]
  /** what --json prints; `ratio`: peer ÷ Postbox, so more than 1 is faster than the peer; null without a peer */
  summary: { ratio: number | null } & Record<string, unknown>
}

export interface Goal {
  /** such as `restore` */
  of: string
  /** null: without a peer it was not measured */
  value: number | null
  atLeast?: number
  atMost?: number
  unit?: string
}

const FILE = join(import.meta.dirname, '../../docs/benchmarks.md')
const HEAD = `# Benchmarks

Each section is written by the command that it names, always against the peer measured in the same run on the same
machine. A ratio above 1 means that Postbox is faster.
`

/** Prints the result and puts it into docs/benchmarks.md in the place of this bench's last one. */
export async function writeReport(
  name: string,
  result: BenchResult,
  { machine, command }: { machine: string; command: string },
): Promise<void> {
  const section = [
    `## ${name}: ${result.title}`,
    '',
    `\`${command}\` on ${machine}, ${new Date().toISOString().slice(0, 10)}`,
    '',
    `| ${result.columns.join(' | ')} |`,
    `| ${result.columns.map(() => '---').join(' | ')} |`,
    ...result.rows.map((row) => `| ${row.join(' | ')} |`),
    '',
    ...result.notes.map((note) => `* ${note}`),
    ...result.goals.map((goal) => `* ${goalInWords(goal)}`),
    '',
  ].join('\n')
  process.stdout.write(`${section}\n`)
  const before = await readFile(FILE, 'utf8').catch(() => HEAD)
  const [head, ...others] = before.split(/^(?=## )/m)
  const kept = others.filter((other) => !other.startsWith(`## ${name}:`)).map((other) => other.trimEnd() + '\n')
  const sections = [...kept, section.trimEnd() + '\n'].toSorted()
  await writeFile(FILE, [head!.trimEnd() + '\n', ...sections].join('\n'))
}

export function isReached({ value, atLeast = -Infinity, atMost = Infinity }: Goal): boolean | null {
  return value === null ? null : value >= atLeast && value <= atMost
}

function goalInWords(goal: Goal): string {
  const { of, value, atLeast, atMost, unit = '' } = goal
  const goals = [
    atLeast !== undefined && `at least ${atLeast}${unit}`,
    atMost !== undefined && `at most ${atMost}${unit}`,
  ]
  const found = value === null ? 'not measured' : `${isReached(goal) ? 'reached' : 'not reached'}, ${value}${unit}`
  return `Goal for ${of}: ${goals.filter(Boolean).join(', ')}. ${found[0]!.toUpperCase()}${found.slice(1)}.`
}
