import type pg from 'pg'
import { z } from 'zod'
import { PostboxError } from '../errors.js'
import type { DumpTable, Expression, TableName } from '../source/dump-table.js'
import type { DumpJob } from './jobs.js'

type Target = DumpJob['target']

/** What a dump holds, as its snapshot has it. */
export interface DumpChoice {
  /** whose rows are copied; largest first */
  tables: DumpTable[]
  /** the tables that were asked for, partitioned ones too; null for all */
  only: TableName[] | null
  /** of any kind, left out with their definitions */
  excluded: TableName[]
  /** of any kind, left out with their contents alone */
  emptied: TableName[]
  /** tables of extensions that hold rows of the user's, which a masked dump leaves out */
  unmaskable: TableName[]
  /** every masked column, of tables that are left out too; none when nothing is to be masked */
  masks: Mask[]
}

/** Reads what is to be dumped in the session that has the snapshot. Throws `dump_refused` when it cannot be read. */
export async function readDumpChoice(client: pg.Client, target: Target): Promise<DumpChoice> {
  const { tables: oids, exclude, exclude_data, where, origins, masked } = target
  const { rows } = await client.query(TABLES, [JSON.stringify(target)])
  const found = z.array(Row).parse(rows)
  const closed = found.find(({ readable }) => !readable)
  if (closed) {
    const hint = 'Grant SELECT on it, or pg_read_all_data, to the role of the worker.'
    throw new PostboxError('dump_refused', `the worker may not select from ${closed.sql}`, hint)
  }
  const masks = masked ? await readMasks(client) : []
  await checkAuthors(client, target, masks)
  const tables = found.map((row) => {
    const condition = where[row.oid]
    return withChoices(
      row,
      condition === undefined ? null : { sql: condition, origin: origins[row.oid] ?? row.name },
      masks,
    )
  })
  const [only, excluded, emptied] = [
    oids && (await named(client, NAMED, oids)),
    await named(client, MATCHING, exclude),
    await named(client, MATCHING, exclude_data),
  ]
  if (only !== null && only.length < oids!.length) {
    throw new PostboxError('dump_refused', 'a table that was asked for is gone', 'Start the dump anew.')
  }
  const all = oids === null && target.schemas === null
  const unmaskable = masked && all && !target.extension_rows ? (await client.query<TableName>(OF_EXTENSIONS)).rows : []
  return { tables, only, excluded, emptied, unmaskable, masks }
}

const Name = z.object({ schema: z.string(), name: z.string() })

const Row = Name.extend({
  oid: z.number().int(),
  sql: z.string(),
  columns: z.array(z.object({ name: z.string(), type: z.string() })),
  root: Name.nullable(),
  regrouped: z.boolean(),
  bytes: z.number(),
  pages: z.number(),
  divisible: z.boolean(),
  readable: z.boolean(),
})

// regrouped: hash partitions divide rows by an enum's oids, which are others after a restore (as in pg_dump). A mask may
// move a row too.
const TABLES = `
  select c.oid::int8::float8 as oid, n.nspname as schema, c.relname as name, format('%I.%I', n.nspname, c.relname) as sql,
    coalesce((select json_agg(json_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod))
        order by a.attnum) from pg_attribute a
      where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''), '[]') as columns,
    (select json_build_object('schema', rn.nspname, 'name', r.relname)
      from pg_class r join pg_namespace rn on rn.oid = r.relnamespace
      where c.relispartition and r.oid = pg_partition_root(c.oid)) as root,
    exists (select from pg_partition_ancestors(c.oid) a join pg_partitioned_table p on p.partrelid = a.relid
      join pg_opclass o on o.oid = any (p.partclass)
      where p.partstrat = 'h' and o.opcname = 'enum_ops' and o.opcnamespace = 'pg_catalog'::regnamespace) as regrouped,
    coalesce(pg_table_size(c.oid), 0)::float8 as bytes,
    coalesce(pg_relation_size(c.oid) / current_setting('block_size')::int, 0)::float8 as pages,
    coalesce(m.amname = 'heap', false) as divisible,
    coalesce(has_table_privilege(c.oid, 'select') and has_schema_privilege(n.oid, 'usage'), true) as readable
  from backup._dump_selection($1) s join pg_class c on c.oid = s.relation join pg_namespace n on n.oid = c.relnamespace
  left join pg_am m on m.oid = c.relam
  order by bytes desc, c.oid`

const NAMED = `select n.nspname as schema, c.relname as name from pg_class c
  join pg_namespace n on n.oid = c.relnamespace where c.oid = any ($1::oid[])`

const MATCHING = `select n.nspname as schema, c.relname as name from backup._matching($1::text[]) m
  join pg_class c on c.oid = m.relation join pg_namespace n on n.oid = c.relnamespace`

const OF_EXTENSIONS = `select n.nspname as schema, c.relname as name from pg_extension e
  join pg_class c on c.oid = any (e.extconfig) and c.relkind in ('r', 'p') join pg_namespace n on n.oid = c.relnamespace
  where e.extname <> 'postbox' order by 1, 2`

function withChoices(row: z.infer<typeof Row>, where: Expression | null, masks: readonly Mask[]): DumpTable {
  const { oid, schema, name, sql, bytes, pages, divisible, root, regrouped } = row
  const own = masks.filter(({ relation }) => relation === oid)
  const mask = (column: string) => {
    const found = own.find(({ column_name }) => column_name === column)
    return found ? { sql: found.expression, origin: found.origin } : null
  }
  return {
    ...{ oid, schema, name, sql, bytes, pages, divisible, where },
    columns: row.columns.map((column) => ({ ...column, mask: mask(column.name) })),
    root: regrouped || own.length > 0 ? root : null,
  }
}

async function named(client: pg.Client, query: string, which: readonly unknown[]): Promise<TableName[]> {
  if (which.length === 0) return []
  return (await client.query<TableName>(query, [which])).rows
}

/** A row of backup._masks(). */
export interface Mask {
  relation: number
  attnum: number
  column_name: string
  expression: string
  set_by_superuser: boolean
  /** full name of the column whose mask it is */
  masked: string
  /** its table, as the expression may call it */
  origin: string
}

async function readMasks(client: pg.Client): Promise<Mask[]> {
  const { rows } = await client.query<Mask>(
    `select m.relation::int8::float8 as relation, m.attnum, m.column_name, m.expression, m.set_by_superuser, m.masked, m.origin
     from backup._masks() m`,
  )
  return rows
}

/** What an operator wrote runs with the worker's rights, which must not be those of a superuser. */
async function checkAuthors(client: pg.Client, { where, by_superuser }: Target, masks: readonly Mask[]): Promise<void> {
  const trusted = (by_superuser || Object.keys(where).length === 0) && masks.every((mask) => mask.set_by_superuser)
  if (trusted) return
  const { rows } = await client.query<{ superuser: string }>(`select current_setting('is_superuser') as superuser`)
  if (rows[0]!.superuser !== 'on') return
  throw new PostboxError(
    'dump_refused',
    'the worker is a superuser, and would run expressions that no superuser has set',
    'Let the worker log in as a role of its own, or set masks and conditions as a superuser.',
  )
}
