import { describe, expect, test } from 'vitest'
import { postgresVersions } from '../sandbox/postgres.js'
import { installedServer } from './installed-server.js'

/** What a range type brings along is its own. */
const ours = `p.pronamespace = 'backup'::regnamespace
  and not exists (select from pg_depend d where d.objid = p.oid and d.classid = 'pg_proc'::regclass and d.deptype = 'i')`

describe.each(postgresVersions)('the house rules of the schema on Postgres %i', (version) => {
  const catalog = installedServer(version)
  const names = async (text: string) => (await catalog.rows<{ name: string }>(text)).map((row) => row.name)

  test('there is something to check', async () => {
    expect(
      (await names(`select p.oid::regprocedure::text as name from pg_proc p where ${ours}`)).length,
    ).toBeGreaterThan(40)
  })

  test('every function pins its search_path, pg_temp last', async () => {
    const text = `select p.oid::regprocedure::text as name from pg_proc p
      where ${ours} and not coalesce('search_path=pg_catalog, pg_temp' = any (p.proconfig), false)`
    expect(await names(text)).toEqual([])
  })

  test('every function is revoked from public', async () => {
    const text = `select p.oid::regprocedure::text as name from pg_proc p
      where p.pronamespace = 'backup'::regnamespace
        and (p.proacl is null or exists (select from aclexplode(p.proacl) a where a.grantee = 0))`
    expect(await names(text)).toEqual([])
  })

  test('every function, table, view, type and schema has a comment', async () => {
    const text = `
      select p.oid::regprocedure::text as name from pg_proc p where ${ours} and obj_description(p.oid, 'pg_proc') is null
      union all
      select c.oid::regclass::text from pg_class c
      where c.relnamespace = 'backup'::regnamespace and c.relkind in ('r', 'v') and obj_description(c.oid, 'pg_class') is null
      union all
      select t.oid::regtype::text from pg_type t
      where t.typnamespace = 'backup'::regnamespace and t.typtype in ('e', 'r') and obj_description(t.oid, 'pg_type') is null
      union all
      select 'schema' where obj_description('backup'::regnamespace, 'pg_namespace') is null
      union all
      select r.rolname from pg_roles r where r.rolname ~ '^backup_' and shobj_description(r.oid, 'pg_authid') is null`
    expect(await names(text)).toEqual([])
  })

  test('every column of every view has a comment', async () => {
    const text = `select c.relname || '.' || a.attname as name
      from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
      where c.relnamespace = 'backup'::regnamespace and c.relkind = 'v' and col_description(c.oid, a.attnum) is null`
    expect(await names(text)).toEqual([])
  })

  test('tables are private by name, views and verbs public by name', async () => {
    const text = `select c.relname::text as name from pg_class c
      where c.relnamespace = 'backup'::regnamespace and c.relkind in ('r', 'v') and (c.relkind = 'r') <> starts_with(c.relname, '_')`
    expect(await names(text)).toEqual([])
  })

  test('no table, view or sequence is granted to public', async () => {
    const text = `select c.oid::regclass::text as name from pg_class c
      where c.relnamespace = 'backup'::regnamespace and exists (select from aclexplode(c.relacl) a where a.grantee = 0)
      union all select 'schema' from pg_namespace n where n.nspname = 'backup' and exists (select from aclexplode(n.nspacl) a where a.grantee = 0)`
    expect(await names(text)).toEqual([])
  })

  test('no function raises without a SQLSTATE of its own', async () => {
    const text = `select p.oid::regprocedure::text as name from pg_proc p where ${ours}
      and regexp_count(p.prosrc, 'raise exception') <> regexp_count(p.prosrc, 'raise exception using\\s+errcode = ')`
    expect(await names(text)).toEqual([])
  })

  test('every constraint of a table has a name that somebody chose', async () => {
    const text = `select c.conname::text as name from pg_constraint c
      where c.connamespace = 'backup'::regnamespace and c.contype <> 'n' and c.conname ~ '_(pkey|fkey|key|check|excl)[0-9]*$'`
    expect(await names(text)).toEqual([])
  })
})
