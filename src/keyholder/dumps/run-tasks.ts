import { PostboxError } from '../../errors.js'
import type { QualifiedName } from '../../sql-text/names.js'
import type { TargetSession } from './target-session.js'

/** Something that one session does. */
export interface Task {
  /** tasks that must have ended before it begins */
  after?: readonly Task[]
  /** tables that it locks; true: nothing else may lock them meanwhile */
  locks: ReadonlyMap<QualifiedName, boolean>
  run: (session: TargetSession) => Promise<void>
}

/**
 * Runs tasks side by side, one at a time in each session: always the first one that need not wait. So no session waits for
 * a lock that another one holds. After a failure none begins any more; it is thrown once all have ended.
 */
export async function runTasks(sessions: readonly TargetSession[], tasks: readonly Task[]): Promise<void> {
  const waiting = [...tasks]
  const undone = new Set(tasks)
  const idle = [...sessions].reverse()
  const running = new Map<Promise<void>, Task>()
  const failures: unknown[] = []
  const isReady = ({ after = [], locks }: Task) =>
    after.every((one) => !undone.has(one)) && [...running.values()].every((other) => !collide(locks, other.locks))
  for (;;) {
    const at = idle.length === 0 || failures.length > 0 ? -1 : waiting.findIndex(isReady)
    if (at < 0) {
      if (running.size === 0) break
      await Promise.race(running.keys())
      continue
    }
    const [task] = waiting.splice(at, 1) as [Task]
    const session = idle.pop()!
    const run = task
      .run(session)
      .catch((thrown: unknown) => {
        failures.push(thrown)
      })
      .then(() => {
        idle.push(session)
        undone.delete(task)
        running.delete(run)
      })
    running.set(run, task)
  }
  if (failures.length > 0) throw failures[0]
  if (waiting.length > 0)
    throw new PostboxError('internal', 'tasks of a restore wait for each other', 'Please report it.')
}

function collide(locks: Task['locks'], others: Task['locks']): boolean {
  return [...locks].some(([table, alone]) => others.has(table) && (alone || others.get(table) === true))
}
