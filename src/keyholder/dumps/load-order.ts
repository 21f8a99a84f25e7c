import { qualified, type QualifiedName } from '../../sql-text/names.js'
import type { TableToLoad } from './load-rows.js'
import type { TargetSession } from './target-session.js'

/** Tables whose rows may come side by side: one, or the partitions of one. */
export interface LoadStep {
  loads: readonly TableToLoad[]
  /** what their foreign keys refer to, which must be there before */
  needs: readonly LoadStep[]
  /** foreign keys that lead back to where they began, so that no order is right */
  inCircle: boolean
}

// Of partitions each has its table's foreign keys again, and others may have been added to one alone.
const REFERENCES = `
  with tied as (
    select distinct coalesce(pg_partition_root(conrelid), conrelid)::oid as of,
      coalesce(pg_partition_root(confrelid), confrelid)::oid as to
    from pg_constraint where contype = 'f' and conparentid = 0)
  select t.of::text, t.to::text from tied t`

const ROOTS = `
  select n.nspname as schema, c.relname as name, coalesce(pg_partition_root(c.oid), c.oid)::oid::text as root
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'p', 'f') and n.nspname !~ '^pg_'`

/** Steps, each behind what it needs, of a restore into tables that have their foreign keys already. */
export async function loadOrder(session: TargetSession, loads: readonly TableToLoad[]): Promise<LoadStep[]> {
  const roots = await session.rows<{ schema: string; name: string; root: string }>(ROOTS)
  const rootOf = new Map<QualifiedName, string>(roots.map(({ schema, name, root }) => [qualified(schema, name), root]))
  const loadsOf = Map.groupBy(loads, ({ table, root }) => {
    const { schema, name } = root ?? table
    // One that is not there has no foreign keys, and its COPY says so.
    return rootOf.get(qualified(schema, name)) ?? qualified(schema, name)
  })
  const references = await session.rows<{ of: string; to: string }>(REFERENCES)
  const needs = Map.groupBy(
    references.filter(({ of, to }) => loadsOf.has(of) && loadsOf.has(to)),
    ({ of }) => of,
  )
  return inOrder(loadsOf, (of) => (needs.get(of) ?? []).map(({ to }) => to))
}

function inOrder(
  loadsOf: ReadonlyMap<string, readonly TableToLoad[]>,
  needsOf: (root: string) => readonly string[],
): LoadStep[] {
  const steps = new Map<string, LoadStep>()
  const circular = new Set<string>()
  /** from the one that was asked for to the one that is looked at */
  const path: string[] = []
  const visit = (root: string): LoadStep | null => {
    const begun = path.indexOf(root)
    // Nothing waits for what waits for it.
    if (begun >= 0) for (const one of path.slice(begun)) circular.add(one)
    if (begun >= 0) return null
    const known = steps.get(root)
    if (known) return known
    path.push(root)
    const others = needsOf(root).filter((one) => one !== root)
    const needs = others.map(visit).filter((step) => step !== null)
    path.pop()
    const refersToItself = others.length < needsOf(root).length
    const loads = loadsOf.get(root)!
    const step = {
      loads: refersToItself ? loads.map((load) => ({ ...load, atOnce: true })) : loads,
      needs,
      inCircle: circular.has(root) || (refersToItself && loads.length > 1),
    }
    steps.set(root, step)
    return step
  }
  for (const root of loadsOf.keys()) visit(root)
  // A Map remembers in which order steps were made.
  return [...steps.values()]
}
