import type { Definition } from './definitions.js'
import { runDefinitions } from './run-definitions.js'
import { withoutIfExists } from './statement-filter.js'
import { sqlstateOf, type TargetSession } from './target-session.js'

/** What has not been dropped yet depends on it, or holds it: such as a partition's part of an index. */
const HELD = /^(2BP01|42P16)$/

/** Drops everything or nothing. `ifExists`: what is not there is passed over. */
export async function dropDefinitions(
  session: TargetSession,
  definitions: readonly Definition[],
  ifExists: boolean,
): Promise<void> {
  await session.run('begin', 'the database')
  let left = definitions
  for (let pass = 1; left.length > 0; pass += 1) {
    const held: Definition[] = []
    for (const definition of left) {
      // Later on it may have gone together with something else.
      const sql = ifExists || pass > 1 ? definition.sql : withoutIfExists(definition.sql)
      if (!(await droppable(session, { ...definition, sql }))) held.push(definition)
    }
    if (held.length === left.length) await runDefinitions(session, held)
    left = held
  }
  await session.run('commit', 'the database')
}

/** False when something holds it, and nothing was done. */
async function droppable(session: TargetSession, definition: Definition): Promise<boolean> {
  await session.run('savepoint one', definition.what)
  try {
    await runDefinitions(session, [definition])
  } catch (thrown) {
    if (!HELD.test(sqlstateOf(thrown) ?? '')) throw thrown
    await session.run('rollback to savepoint one', definition.what)
    return false
  }
  await session.run('release savepoint one', definition.what)
  return true
}
