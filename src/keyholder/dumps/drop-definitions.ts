import { unquoteName } from '../../sql-text/names.js'
import { tokensOf } from '../../sql-text/tokens.js'
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
  await session.transaction(async () => {
    for (const { sql } of definitions) await letGoOfSlot(session, sql)
    let left = definitions
    let cascaded = false
    for (let pass = 1; left.length > 0; pass += 1) {
      const held: Definition[] = []
      for (const definition of left) {
        // It may have gone together with something else: functions of a base type, or what was held before.
        const mayBeGone = ifExists || pass > 1 || (cascaded && /^drop function /i.test(definition.sql))
        const sql = mayBeGone ? definition.sql : withoutIfExists(definition.sql)
        cascaded ||= / cascade$/i.test(sql)
        // No setting matters to it.
        if (!(await droppable(session, { sql, what: definition.what }))) held.push(definition)
      }
      if (held.length === left.length) await runDefinitions(session, held)
      left = held
    }
  })
}

/**
 * A subscription with a slot cannot be dropped in a transaction, because the slot would be dropped with it, on the other
 * server. It is kept: the subscription of the dump has it again.
 */
async function letGoOfSlot(session: TargetSession, sql: string): Promise<void> {
  if (!/^drop subscription /i.test(sql)) return
  const name = [...tokensOf(sql)].at(-1)!
  const found = await session.rows(
    'select from pg_subscription where subname = $1 and subslotname is not null and subdbid = (select oid from pg_database where datname = current_database())',
    [unquoteName(name)],
  )
  if (found.length === 0) return
  await session.run(`alter subscription ${name} disable`, `SUBSCRIPTION ${name}`)
  await session.run(`alter subscription ${name} set (slot_name = none)`, `SUBSCRIPTION ${name}`)
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
