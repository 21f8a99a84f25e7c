import type { Definition } from './definitions.js'
import { runDefinitions } from './run-definitions.js'
import { laneOf } from './statement-filter.js'
import type { TargetSession } from './target-session.js'
import { subjectOf } from '../../sql-text/subject.js'
import type { QualifiedName } from '../../sql-text/names.js'

/** Whether a definition that failed is done without. */
type PassOver = (definition: Definition, thrown: unknown) => boolean

/**
 * Runs definitions in order, but indexes and constraints that follow each other side by side. The first failure that is not
 * passed over is thrown once all have ended.
 */
export async function runSideBySide(
  sessions: readonly TargetSession[],
  definitions: readonly Definition[],
  passOver: PassOver = () => false,
): Promise<void> {
  for (let at = 0; at < definitions.length;) {
    const lane = laneOf(definitions[at]!.sql)
    let end = at + 1
    while (lane !== null && end < definitions.length && laneOf(definitions[end]!.sql) === lane) end += 1
    await runLane(sessions, definitions.slice(at, end), passOver)
    at = end
  }
}

async function runLane(
  sessions: readonly TargetSession[],
  lane: readonly Definition[],
  passOver: PassOver,
): Promise<void> {
  const waiting = lane.map((definition) => ({ definition, tables: locked(definition.sql) }))
  const idle = [...sessions]
  const running = new Map<Promise<void>, ReadonlySet<QualifiedName>>()
  const failures: unknown[] = []
  const isFree = (tables: ReadonlySet<QualifiedName>) =>
    [...running.values()].every((busy) => [...tables].every((table) => !busy.has(table)))
  for (;;) {
    const at = idle.length === 0 || failures.length > 0 ? -1 : waiting.findIndex(({ tables }) => isFree(tables))
    if (at < 0) {
      if (running.size === 0) break
      await Promise.race(running.keys())
      continue
    }
    const [{ definition, tables }] = waiting.splice(at, 1) as [(typeof waiting)[number]]
    const session = idle.pop()!
    const run = runDefinitions(session, [definition])
      .catch((thrown: unknown) => {
        if (!passOver(definition, thrown)) failures.push(thrown)
      })
      .then(() => {
        idle.push(session)
        running.delete(run)
      })
    running.set(run, tables)
  }
  if (failures.length > 0) throw failures[0]
}

/** Both tables of a foreign key, each of which it locks: in turns, two of them would stop each other. */
function locked(sql: string): ReadonlySet<QualifiedName> {
  const subject = subjectOf(sql)
  return new Set(subject?.needs ? [subject.name, subject.needs] : [])
}
