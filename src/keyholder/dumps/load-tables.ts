import { qualified, type QualifiedName } from '../../sql-text/names.js'
import { PostboxError } from '../../errors.js'
import type { Archive } from '../archive.js'
import type { Definition } from './definitions.js'
import type { LoadStep } from './load-order.js'
import { loadTasks, type TableToLoad } from './load-rows.js'
import { readingAhead } from './read-ahead.js'
import { definitionTask, type PassOver } from './run-side-by-side.js'
import { runTasks, type Task } from './run-tasks.js'
import { needsTableAlone, tableOfIndex } from './statement-filter.js'
import { sqlstateOf, type TargetSession } from './target-session.js'

export interface TablesToLoad {
  /** each behind what it needs */
  steps: readonly LoadStep[]
  /** of post-data, in order */
  definitions: readonly Definition[]
  passOver: PassOver
  onStored: (bytes: number) => void
}

/**
 * Loads tables side by side, the largest first, and makes the indexes of each as soon as its rows are there. Which
 * definitions are left to run.
 */
export async function loadTables(
  archive: Archive,
  sessions: readonly TargetSession[],
  { steps, definitions, passOver, onStored }: TablesToLoad,
): Promise<Definition[]> {
  const loads = steps.flatMap((step) => step.loads)
  const ofTable = indexesOf(loads, definitions)
  const ordered = loads.toSorted((one, other) => other.table.raw_bytes - one.table.raw_bytes)
  const total = loads.reduce((sum, { table }) => sum + table.raw_bytes, 0)
  const ahead = readingAhead(
    archive,
    ordered.flatMap(({ slices }) => slices.flat().map(({ object }) => object)),
  )
  const rowsOf = new Map<TableToLoad, Task[]>()
  for (const step of steps) {
    const after = step.needs.flatMap((one) => one.loads.flatMap((load) => rowsOf.get(load)!))
    for (const load of step.loads) {
      const rows = loadTasks(ahead, load, (total / sessions.length) * UNEVEN, onStored)
      rowsOf.set(
        load,
        rows.map((task) => ({ ...task, after, run: (session) => task.run(session).catch(orphan(step)) })),
      )
    }
  }
  const tasks = ordered.flatMap((load): Task[] => {
    const rows = rowsOf.get(load)!
    const indexes = ofTable.get(qualified(load.table.schema, load.table.name)) ?? []
    return [...rows, ...indexes.map((definition) => definitionTask(definition, passOver, rows))]
  })
  await runTasks(sessions, tasks)
  const done = new Set([...ofTable.values()].flat())
  return definitions.filter((definition) => !done.has(definition))
}

const NO_SUCH_ROW = '23503'

/** Says what helps where a row refers to one that is not there. */
function orphan({ inCircle }: LoadStep): (thrown: unknown) => never {
  return (thrown) => {
    if (!(thrown instanceof PostboxError) || sqlstateOf(thrown) !== NO_SUCH_ROW) throw thrown
    const hint = inCircle
      ? 'Its foreign keys go in a circle, so that no order of rows is right: say --disable-triggers, as a superuser.'
      : 'Restore the rows that it refers to as well, or say --disable-triggers, as a superuser.'
    throw new PostboxError('restore_failed', thrown.message, hint, { cause: thrown.cause })
  }
}

/** A table is divided among sessions when it is larger than a fair share by this. */
const UNEVEN = 1.25

/** Indexes that need nothing but one of these tables. What stands behind something else may need that. */
function indexesOf(loads: readonly TableToLoad[], definitions: readonly Definition[]) {
  const found = new Map<QualifiedName, Definition[]>()
  // A row may belong to any partition.
  if (loads.some(({ root, isNew }) => root !== null || !isNew)) return found
  const loaded = new Set(loads.map(({ table }) => qualified(table.schema, table.name)))
  for (const definition of definitions) {
    const { sql } = definition
    const table = tableOfIndex(sql)
    if (table !== null && loaded.has(table) && needsTableAlone(sql))
      found.set(table, [...(found.get(table) ?? []), definition])
    else if (table === null && /^create /i.test(sql) && !/^create statistics /i.test(sql)) break
  }
  return found
}
