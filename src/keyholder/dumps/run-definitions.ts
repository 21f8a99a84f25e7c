import type { Definition } from './definitions.js'
import { isSetting, laneOf } from './statement-filter.js'
import { sqlstateOf, type TargetSession } from './target-session.js'

/** Runs definitions one after the other. */
export async function runDefinitions(session: TargetSession, definitions: Iterable<Definition>): Promise<void> {
  for (const { sql, what } of definitions) {
    await session.run(sql, what).catch((thrown: unknown) => {
      if (!isSetting(sql) || !isUnknown(thrown)) throw thrown
    })
  }
}

/**
 * Runs definitions in order, but indexes and constraints side by side. The first failure that is not passed over is thrown
 * once all have ended.
 */
export async function runSideBySide(
  sessions: readonly TargetSession[],
  definitions: Iterable<Definition>,
  passOver: (definition: Definition, thrown: unknown) => boolean = () => false,
): Promise<void> {
  const idle = [...sessions]
  const running = new Set<Promise<void>>()
  const failures: unknown[] = []
  let lane: ReturnType<typeof laneOf> = null
  const drain = async () => {
    while (running.size > 0) await Promise.race(running)
    if (failures.length > 0) throw failures[0]
  }
  for (const definition of definitions) {
    const next = laneOf(definition.sql)
    if (next === null || next !== lane) await drain()
    lane = next
    if (next === null) {
      await runDefinitions(sessions[0]!, [definition]).catch((thrown: unknown) => {
        if (!passOver(definition, thrown)) throw thrown
      })
      continue
    }
    if (idle.length === 0) await Promise.race(running)
    if (failures.length > 0) break
    const session = idle.pop()!
    const run = runDefinitions(session, [definition])
      .catch((thrown: unknown) => {
        if (!passOver(definition, thrown)) failures.push(thrown)
      })
      .then(() => {
        idle.push(session)
        running.delete(run)
      })
    running.add(run)
  }
  await drain()
}

/** A setting that a newer pg_dump knows and the server does not. */
function isUnknown(thrown: unknown): boolean {
  return sqlstateOf(thrown) === '42704'
}
