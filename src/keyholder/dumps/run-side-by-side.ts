import type { QualifiedName } from '../../sql-text/names.js'
import { subjectOf } from '../../sql-text/subject.js'
import type { Definition } from './definitions.js'
import { runDefinitions } from './run-definitions.js'
import { runTasks, type Task } from './run-tasks.js'
import { laneOf } from './statement-filter.js'
import type { TargetSession } from './target-session.js'

/** Whether a definition that failed is done without. */
export type PassOver = (definition: Definition, thrown: unknown) => boolean

/** Runs definitions in order, but indexes and constraints that follow each other side by side. */
export async function runSideBySide(
  sessions: readonly TargetSession[],
  definitions: readonly Definition[],
  passOver: PassOver,
): Promise<void> {
  for (let at = 0; at < definitions.length;) {
    const lane = laneOf(definitions[at]!.sql)
    let end = at + 1
    while (lane !== null && end < definitions.length && laneOf(definitions[end]!.sql) === lane) end += 1
    const run = definitions.slice(at, end).map((definition) => definitionTask(definition, passOver))
    await runTasks(sessions, run)
    at = end
  }
}

/** A definition that may run beside others, `after` these. */
export function definitionTask(definition: Definition, passOver: PassOver, after: readonly Task[] = []): Task {
  return {
    after,
    locks: locksOf(definition.sql),
    run: async (session) => {
      await runDefinitions(session, [definition]).catch((thrown: unknown) => {
        if (!passOver(definition, thrown)) throw thrown
      })
    },
  }
}

/**
 * Both tables of a foreign key, each of which it locks: in turns, two of them would stop each other. Indexes of a table can
 * be made side by side, and not beside a constraint.
 */
function locksOf(sql: string): ReadonlyMap<QualifiedName, boolean> {
  const subject = subjectOf(sql)
  if (subject === null) return new Map()
  const alone = !/^create (unique )?index /i.test(sql)
  return new Map([subject.name, ...(subject.needs === null ? [] : [subject.needs])].map((table) => [table, alone]))
}
