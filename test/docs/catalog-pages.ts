import type { Client } from 'pg'
import { filesIn } from '../house/source-files.js'
import { code, MADE, markdownTable, plain } from './markdown.js'
import { documentedSignature } from './sql-signature.js'

interface FunctionRow {
  name: string
  kind: 'function' | 'procedure'
  returns: string | null
  comment: string
  roles: string[]
}

interface ColumnRow {
  view: string
  view_comment: string
  roles: string[]
  column: string
  type: string
  comment: string
}

interface SettingRow {
  setting: string
  default_value: string | null
  unit: string
  meaning: string
}

/** The three pages that are read from an installed catalog, by path. */
export async function catalogPages(client: Client): Promise<Record<string, string>> {
  return {
    'docs/reference/functions.md': await functionsPage(client),
    'docs/reference/views.md': await viewsPage(client),
    'docs/reference/settings.md': await settingsPage(client),
  }
}

/** Roles of ours in an access list. */
const ROLES = (acl: string) =>
  `(select coalesce(array_agg(distinct replace(a.grantee::regrole::text, 'backup_', '')), '{}') from aclexplode(${acl}) a
    where a.grantee::regrole::text like 'backup\\_%')`

async function functionsPage(client: Client): Promise<string> {
  const { rows } = await client.query<FunctionRow>(`
    select p.proname::text as name, case p.prokind when 'p' then 'procedure' else 'function' end as kind,
           pg_get_function_result(p.oid) as returns, obj_description(p.oid, 'pg_proc') as comment, ${ROLES('p.proacl')} as roles
    from pg_proc p
    where p.pronamespace = 'backup'::regnamespace and p.proname not like '\\_%'
      and not exists (select from pg_depend d where d.objid = p.oid and d.classid = 'pg_proc'::regclass and d.deptype = 'i')
    order by p.proname collate "C"`)
  const sql = filesIn('sql')
    .map(({ text }) => text)
    .join('\n')
  const head = `${MADE}
# Functions

What may be called in the schema \`backup\`. *Role* is which of \`backup_operator\`, \`backup_monitor\` and \`backup_worker\` may; a
superuser may always. A wrong argument raises a named error with a hint: [errors](../errors.md#sqlstates).
`
  return [head, ...rows.map((row) => functionSection(row, sql))].join('\n')
}

function functionSection({ name, kind, returns, comment, roles }: FunctionRow, sql: string): string {
  const signature = documentedSignature(sql, name)
  const call = `${kind === 'procedure' ? 'CALL ' : ''}backup.${name}(${signature.arguments.map(({ declared }) => declared.split(' ')[0]!).join(', ')})`
  const rows = signature.arguments.map(({ declared, comment: said }) => [code(declared), plain(said)])
  const result =
    returns === null
      ? []
      : [`Returns ${code(returns)}${signature.returns === '' ? '' : `: ${plain(signature.returns)}`}.`]
  return [
    `## ${name}`,
    code(call),
    plain(comment),
    ...(rows.length === 0 ? [] : [markdownTable(['argument', 'meaning'], rows)]),
    ...result,
    `Role: ${roles.join(', ')}.`,
    '',
  ].join('\n\n')
}

async function viewsPage(client: Client): Promise<string> {
  const { rows } = await client.query<ColumnRow>(`
    select c.relname::text as view, obj_description(c.oid, 'pg_class') as view_comment, ${ROLES('c.relacl')} as roles,
           a.attname::text as column, format_type(a.atttypid, a.atttypmod) as type, col_description(c.oid, a.attnum) as comment
    from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    where c.relnamespace = 'backup'::regnamespace and c.relkind = 'v'
    order by c.relname collate "C", a.attnum`)
  const head = `${MADE}
# Views

What may be read in the schema \`backup\`. The database knows what it has stored; it rewinds with a restore, and what lies in the
bucket is seen by \`postbox list\` alone.
`
  const views = [...new Set(rows.map(({ view }) => view))]
  return [head, ...views.map((view) => viewSection(rows.filter((row) => row.view === view)))].join('\n')
}

function viewSection(rows: readonly ColumnRow[]): string {
  const { view, view_comment, roles } = rows[0]!
  const columns = rows.map(({ column, type, comment }) => [code(column), code(type), plain(comment)])
  return [
    `## ${view}`,
    plain(view_comment),
    markdownTable(['column', 'type', 'meaning'], columns),
    `Role: ${roles.join(', ')}.`,
    '',
  ].join('\n\n')
}

async function settingsPage(client: Client): Promise<string> {
  const { rows } = await client.query<SettingRow>(
    'select s.setting, s.default_value, s.unit, s.meaning from backup.settings s',
  )
  const head = `${MADE}
# Settings

Of the catalog: changed by \`SELECT backup.configure('setting', 'value')\`, returned to the default by a value of \`null\`, shown by
\`backup.settings\`. A running worker follows at once. What the machine decides is in [environment](environment.md).
`
  const cells = rows.map(({ setting, default_value, unit, meaning }) => [
    code(setting),
    default_value === null ? '' : code(default_value),
    plain(unit),
    plain(meaning),
  ])
  return [head, markdownTable(['setting', 'default', 'unit', 'meaning'], cells), ''].join('\n')
}
