import { readdir, readFile } from 'node:fs/promises'
import { until } from './until.js'

/** Whether a process runs. A zombie, dead but not yet collected by its parent, does not. */
export async function running(pid: number): Promise<boolean> {
  const state = await processState(pid)
  return state !== null && state.letter !== 'Z' && state.letter !== 'X'
}

/** Running processes whose parent is `pid`. */
export async function childrenOf(pid: number): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number)
  const states = await Promise.all(pids.map(async (one) => ({ one, state: await processState(one) })))
  return states.filter(({ state }) => state?.parent === pid).map(({ one }) => one)
}

/** Sends SIGKILL to each and waits until all are gone. */
export async function killAll(pids: readonly number[]): Promise<void> {
  for (const pid of pids) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    }
  }
  for (const pid of pids) await until(`process ${pid} is gone`, async () => !(await running(pid)))
}

// The program's name, in parentheses, may hold spaces and parentheses itself: read on from the last one.
async function processState(pid: number): Promise<{ letter: string; parent: number } | null> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null)
  if (stat === null) return null
  const [letter, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return { letter: letter!, parent: Number(parent) }
}
