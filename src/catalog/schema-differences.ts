import { readdir, readFile } from 'node:fs/promises'
import type { ClientBase } from 'pg'
import { PostboxError } from '../errors.js'

const FUNCTION = /^create or replace (?:function|procedure) backup\.(\w+)/gm
const TABLE = /^create table backup\.(\w+)/gm

/**
 * How the installed schema differs from what this version of Postbox installs: functions and tables that are not there,
 * and functions of another text. Every role may see these. Throws `catalog_missing` when there is no schema.
 */
export async function schemaDifferences(client: ClientBase): Promise<string[]> {
  const [behaviour, state] = [await textOf('../../sql/'), await textOf('../../migrations/')]
  const { rows } = await client.query<{ name: string; body: string | null }>(
    `select p.proname::text as name, p.prosrc as body
     from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace where n.nspname = 'backup'
       -- Postgres's own constructors of a range type have no text.
       and p.prolang in (select l.oid from pg_catalog.pg_language l where l.lanname in ('sql', 'plpgsql'))
     union all
     select c.relname::text, null
     from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where n.nspname = 'backup' and c.relkind = 'r'`,
  )
  if (rows.length === 0) {
    const hint = 'Run "postbox install" against this database.'
    throw new PostboxError('catalog_missing', 'this database has no schema "backup"', hint)
  }
  const functions = new Set(rows.filter(({ body }) => body !== null).map(({ name }) => name))
  const tables = new Set(rows.filter(({ body }) => body === null).map(({ name }) => name))
  const other = rows.filter(({ body }) => body !== null && !behaviour.includes(body)).map(({ name }) => name)
  return [
    ...named(FUNCTION, behaviour)
      .filter((name) => !functions.has(name))
      .map((name) => `${name}() is missing`),
    ...named(TABLE, state)
      .filter((name) => !tables.has(name))
      .map((name) => `${name} is missing`),
    ...other.map((name) => `${name}() is another`),
  ]
}

const named = (pattern: RegExp, text: string): string[] => [
  ...new Set([...text.matchAll(pattern)].map((match) => match[1]!)),
]

async function textOf(folder: string): Promise<string> {
  const url = new URL(folder, import.meta.url)
  const files = (await readdir(url)).filter((name) => name.endsWith('.sql'))
  return (await Promise.all(files.map((name) => readFile(new URL(name, url), 'utf8')))).join('\n')
}
