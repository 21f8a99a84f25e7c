import type { Definition } from './definitions.js'
import type { TargetSession } from './target-session.js'

/** Runs definitions one after the other, each with its settings. */
export async function runDefinitions(session: TargetSession, definitions: Iterable<Definition>): Promise<void> {
  for (const { sql, what, settings = [] } of definitions) {
    await session.settle(settings)
    await session.run(sql, what)
  }
}
