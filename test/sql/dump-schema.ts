import type { Client } from 'pg'

/** One query per kind of object; each gives lines in an order of its own. The same text on every version. */
const queries: readonly string[] = [
  `select format('type %s %s: %s', t.typname, case t.typtype when 'e' then 'enum' else 'range' end,
     coalesce((select string_agg(e.enumlabel, ', ' order by e.enumsortorder) from pg_enum e where e.enumtypid = t.oid),
              (select format_type(r.rngsubtype, null) from pg_range r where r.rngtypid = t.oid))) as line
   from pg_type t where t.typnamespace = 'backup'::regnamespace and t.typtype in ('e', 'r') order by t.typname collate "C"`,

  `select format('%s %s.%s %s%s%s%s', case c.relkind when 'r' then 'table' else 'view' end, c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
          case when a.attnotnull then ' not null' end,
          case when a.attidentity <> '' then ' generated always as identity' end,
          ' default ' || pg_get_expr(d.adbin, d.adrelid)) as line
   from pg_class c
   join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
   left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
   where c.relnamespace = 'backup'::regnamespace and c.relkind in ('r', 'v')
   order by c.relkind, c.relname collate "C", a.attnum`,

  // Not null is shown with its column; Postgres 18 has a constraint for each as well.
  `select format('constraint %s on %s: %s', c.conname, c.conrelid::regclass, pg_get_constraintdef(c.oid)) as line
   from pg_constraint c where c.connamespace = 'backup'::regnamespace and c.conrelid <> 0 and c.contype <> 'n'
   order by c.conrelid::regclass::text collate "C", c.conname collate "C"`,

  `select format('index %s', pg_get_indexdef(i.indexrelid)) as line
   from pg_index i join pg_class c on c.oid = i.indexrelid
   where c.relnamespace = 'backup'::regnamespace
     and not exists (select from pg_constraint k where k.conindid = i.indexrelid and k.contype <> 'f')
   order by c.relname collate "C"`,

  `select format('%s %s(%s)%s%s%s', case p.prokind when 'p' then 'procedure' else 'function' end, p.proname,
          pg_get_function_arguments(p.oid), ' returns ' || pg_get_function_result(p.oid),
          case when p.prosecdef then ' security definer' end,
          case p.provolatile when 'i' then ' immutable' when 's' then ' stable' end) as line
   from pg_proc p
   where p.pronamespace = 'backup'::regnamespace
     and not exists (select from pg_depend d where d.objid = p.oid and d.classid = 'pg_proc'::regclass and d.deptype = 'i')
   order by p.proname collate "C", pg_get_function_identity_arguments(p.oid) collate "C"`,

  `select format('grant %s on %s to %s', lower(g.privilege_type), g.object,
     string_agg(g.grantee::regrole::text, ', ' order by g.grantee::regrole::text collate "C")) as line
   from (
     select a.privilege_type, a.grantee, 'schema backup' as object, n.nspowner as owner
     from pg_namespace n, aclexplode(n.nspacl) a where n.nspname = 'backup'
     union all
     select a.privilege_type, a.grantee, c.relname, c.relowner
     from pg_class c, aclexplode(c.relacl) a where c.relnamespace = 'backup'::regnamespace
     union all
     select a.privilege_type, a.grantee, p.oid::regprocedure::text, p.proowner
     from pg_proc p, aclexplode(p.proacl) a where p.pronamespace = 'backup'::regnamespace
   ) g
   where g.grantee <> g.owner
   group by g.object, g.privilege_type
   order by g.object::text collate "C", g.privilege_type`,
]

/** The schema `backup` as text: what a review should see when it changes. Bodies of functions are in sql/. */
export async function dumpSchema(client: Client): Promise<string> {
  await client.query('set search_path = pg_catalog')
  const sections: string[] = []
  for (const query of queries) {
    const { rows } = await client.query<{ line: string }>(query)
    sections.push(rows.map(({ line }) => line + '\n').join(''))
  }
  return sections.join('\n')
}
