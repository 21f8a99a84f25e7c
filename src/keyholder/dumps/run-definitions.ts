import type { Definition } from './definitions.js'
import { isSetting } from './statement-filter.js'
import { sqlstateOf, type TargetSession } from './target-session.js'

/** Runs definitions one after the other. */
export async function runDefinitions(session: TargetSession, definitions: Iterable<Definition>): Promise<void> {
  for (const { sql, what } of definitions) {
    await session.run(sql, what).catch((thrown: unknown) => {
      if (!isSetting(sql) || !isUnknown(thrown)) throw thrown
    })
  }
}

/** A setting that a newer pg_dump knows and the server does not. */
function isUnknown(thrown: unknown): boolean {
  return sqlstateOf(thrown) === '42704'
}
