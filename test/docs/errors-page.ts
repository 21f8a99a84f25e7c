import { errorCodes, PostboxError, type ErrorCode } from '../../src/errors.js'
import { filesIn, type SourceFile } from '../house/source-files.js'
import { code, MADE, markdownTable, plain } from './markdown.js'
import { raisedErrors, type Raised } from './raised-errors.js'
import { raisedSqlstates, type RaisedSql } from './raised-sqlstates.js'

const HEAD = `${MADE}
# Errors

Every failure has a name that never changes, a message, and a hint that says what to do. A command prints them as
\`postbox: message (name)\` and \`hint: …\` on standard error, or as JSON with \`--json\`; in the database they stand in
\`backup.jobs\` (\`error_code\`, \`error_message\`, \`error_hint\`) and, while they last, in \`backup.checks\`. Where a message has
something of the moment in it, this page shows \`…\`.

Whether it *may pass by itself* is what Postbox goes by: such a thing is tried again, by the box for a part, by the worker for a job.
`

/** docs/errors.md, from the sources. */
export function errorsPage(): string {
  const typescript = filesIn('src').filter(({ path }) => path.endsWith('.ts'))
  const sql = filesIn('sql')
  const raised = [...typescript.flatMap(raisedErrors), ...sql.flatMap(storedErrors)]
  const states = statesOf(sql)
  const inSql = sql.filter(({ path }) => path.endsWith('.sql')).flatMap(raisedSqlstates)
  return [HEAD, ...errorCodes.map((one) => section(one, raised, states)), sqlSection(states, inSql)].join('\n')
}

interface SqlstateRow {
  state: string
  code: string
  cells: string[]
}

/** The table of sql/README.md. */
function statesOf(sql: readonly SourceFile[]): SqlstateRow[] {
  const readme = sql.find(({ path }) => path === 'sql/README.md')!.text
  return [...readme.matchAll(/^\| `(PB\d{3})` \|(.*?)\|(.*?)\|(.*?)\|$/gm)].map(([, state, ...cells]) => ({
    state: state!,
    code: cells[0]!.replaceAll('`', '').trim(),
    cells: [code(state!), ...cells.map((cell) => cell.trim())],
  }))
}

/** Errors that the schema writes into a job by itself. */
function storedErrors({ path, text }: SourceFile): Raised[] {
  const pattern = /'code',\s*'(\w+)',\s*'message',\s*(?:format\()?'((?:[^']|'')*)'[^;]*?'hint',\s*'((?:[^']|'')*)'/g
  return [...text.matchAll(pattern)].map(([, one, message, hint]) => ({
    code: one as ErrorCode,
    messages: [message!.replace(/%[sIL]/g, '…')],
    hints: [hint!.replaceAll("''", "'")],
    path,
  }))
}

function section(one: ErrorCode, raised: readonly Raised[], states: readonly SqlstateRow[]): string {
  const passes = new PostboxError(one, '', '').retryable
  const rows = raised
    .filter((each) => each.code === one)
    .map(({ messages, hints, path }) => [plain(messages.join(' / ')), plain(hints.join(' / ')), source(path)])
    .filter(([message, hint]) => message !== '…' || hint !== '…')
  const bySql = states.filter((state) => state.code === one).map(({ state }) => code(state))
  return [
    `## ${one}`,
    passes ? 'May pass by itself.' : 'Does not pass by itself.',
    ...(rows.length === 0 ? [] : [markdownTable(['message', 'hint', 'raised in'], unique(rows))]),
    ...(bySql.length === 0 ? [] : [`Raised by the database as ${bySql.join(', ')}: see [below](#sqlstates).`]),
    '',
  ].join('\n\n')
}

function sqlSection(states: readonly SqlstateRow[], raised: readonly RaisedSql[]): string {
  const rows = raised
    .toSorted((a, b) => a.sqlstate.localeCompare(b.sqlstate) || a.path.localeCompare(b.path))
    .map(({ sqlstate, message, hint, path }) => [code(sqlstate), plain(message), plain(hint), source(path)])
  return [
    '# SQLSTATEs',
    'What the functions of the schema `backup` raise, and the name that it has in the worker.',
    markdownTable(
      ['SQLSTATE', 'in the worker', 'raised when', 'by'],
      states.map(({ cells }) => cells),
    ),
    markdownTable(['SQLSTATE', 'message', 'hint', 'raised in'], unique(rows)),
    '',
  ].join('\n\n')
}

const source = (path: string): string => `[${path}](../${path})`

const unique = (rows: string[][]): string[][] => [...new Map(rows.map((row) => [row.join('|'), row])).values()]
