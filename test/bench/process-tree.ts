import { readdir, readFile } from 'node:fs/promises'

/** What a process and all its descendants took, sampled while they ran. */
export interface TreeUse {
  /** most resident memory of all of them together, in bytes; shared pages count once for each */
  peakBytes: number
}

/** What one process took since it began, all its threads together. */
export interface ProcessUse {
  cpuSeconds: number
  /** most resident memory, in bytes */
  peakBytes: number
}

/** sysconf(_SC_CLK_TCK), which is the same on every Linux. */
const TICKS_PER_SECOND = 100
const EVERY_MS = 100

/** Read while the process still runs. */
export async function processUse(pid: number): Promise<ProcessUse> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return {
    cpuSeconds: (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND,
    peakBytes: Number(/^VmHWM:\s+(\d+) kB/m.exec(status)![1]) * 1024,
  }
}

/** Watches a process and its descendants until the answer is called. */
export function watchTree(pid: number): () => TreeUse {
  let peakBytes = 0
  const timer = setInterval(() => {
    treeBytes(pid).then(
      (bytes) => {
        peakBytes = Math.max(peakBytes, bytes)
      },
      () => undefined,
    )
  }, EVERY_MS)
  return () => {
    clearInterval(timer)
    return { peakBytes }
  }
}

async function treeBytes(root: number): Promise<number> {
  const parents = new Map<number, number>()
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const stat = await readFile(`/proc/${name}/stat`, 'utf8').catch(() => '')
    // The name, in parentheses, may hold spaces: the parent is the second field behind it.
    parents.set(Number(name), Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]))
  }
  let bytes = 0
  for (const pid of parents.keys()) {
    if (!descends(pid, root, parents)) continue
    const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
    bytes += Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024
  }
  return bytes
}

function descends(pid: number, root: number, parents: ReadonlyMap<number, number>): boolean {
  for (let at: number | undefined = pid; at !== undefined && at > 1; at = parents.get(at)) {
    if (at === root) return true
  }
  return false
}
