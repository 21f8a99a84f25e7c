import { readFileSync } from 'node:fs'
import { open, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** A lock whose holder has not touched it for this long is dead, even if its process id lives on as somebody else. */
const STALE_MS = 30_000
const FETCHING = '.fetching'
const ASKED = 'asked.'
const SEGMENT = /^[0-9A-F]{24}$/

/**
 * The directory where segments wait for Postgres. A file with a segment's bare name is complete, verified and on disk;
 * Postgres's restore_command moves it away without asking anybody.
 *
 * One prefetcher fills it (`prefetcher` holds its process id); `wanted` names the segment that was last asked for and
 * not there, which tells the prefetcher where Postgres is. At the socket `ask` it brings what is asked for, as `asked.N`
 * if that is not in the spool anyway.
 */
export class Spool {
  constructor(readonly directory: string) {}

  /** Segments that are ready. Throws ENOENT when the spool is gone: recovery has ended. */
  async ready(): Promise<string[]> {
    return (await readdir(this.directory)).filter((name) => SEGMENT.test(name)).sort()
  }

  /** Whether a prefetcher is at this segment right now. */
  async isFetching(name: string): Promise<boolean> {
    return (await exists(this.claimed(name))) && (await this.hasPrefetcher())
  }

  /** Says that a segment is being fetched. */
  async claim(name: string): Promise<void> {
    await writeFile(this.claimed(name), '')
  }

  async dropClaim(name: string): Promise<void> {
    await rm(this.claimed(name), { force: true })
  }

  /** The file of a claimed segment, which is there and gets its content. */
  claimed(name: string): string {
    return this.pathOf(name + FETCHING)
  }

  /**
   * Makes a claimed segment ready, which must be complete and verified. Synced before it has its name: after a power cut a
   * wrong file would end recovery.
   */
  async publish(name: string): Promise<void> {
    const file = await open(this.claimed(name), 'r+')
    try {
      await file.datasync()
    } finally {
      await file.close()
    }
    await rename(this.claimed(name), this.pathOf(name))
  }

  /** Moves a ready segment to where Postgres wants it; false when it is not there. */
  async take(name: string, to: string): Promise<boolean> {
    try {
      await rename(this.pathOf(name), to)
      return true
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
      throw error
    }
  }

  async remove(name: string): Promise<void> {
    await rm(this.pathOf(name), { force: true })
  }

  /** Where the prefetcher listens. */
  get socket(): string {
    return this.pathOf('ask')
  }

  /** Name of a place for the answer to the n-th question, which is never a segment's own. */
  asked(count: number): string {
    return `${ASKED}${count}`
  }

  /** Path of a file by its name in here. */
  pathOf(name: string): string {
    return join(this.directory, name)
  }

  /** Tells the prefetcher which segment Postgres has just got from elsewhere. */
  async want(name: string): Promise<void> {
    await writeFile(this.pathOf('wanted.new'), name)
    await rename(this.pathOf('wanted.new'), this.pathOf('wanted'))
  }

  /** The last one that was told, and when; null before the first. */
  async wanted(): Promise<{ name: string; at: number } | null> {
    try {
      const { mtimeMs } = await stat(this.pathOf('wanted'))
      return { name: await readFile(this.pathOf('wanted'), 'utf8'), at: mtimeMs }
    } catch {
      return null
    }
  }

  async hasPrefetcher(): Promise<boolean> {
    return (await this.prefetcherPid()) !== null
  }

  /** Process id of the prefetcher; null when there is none that lives. */
  async prefetcherPid(): Promise<number | null> {
    try {
      const { mtimeMs } = await stat(this.pathOf('prefetcher'))
      const pid = Number(await readFile(this.pathOf('prefetcher'), 'utf8'))
      return Date.now() - mtimeMs < STALE_MS && isAlive(pid) ? pid : null
    } catch {
      return null
    }
  }

  /** Becomes this spool's one prefetcher; false when there is another. What a dead one left is removed. */
  async lock(): Promise<boolean> {
    if (await this.hasPrefetcher()) return false
    await rm(this.pathOf('prefetcher'), { force: true })
    try {
      await writeFile(this.pathOf('prefetcher'), String(process.pid), { flag: 'wx' })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
      throw error
    }
    await this.#sweep()
    return true
  }

  /** Removes what a dead prefetcher has left unfinished, or has brought for somebody who did not take it. */
  async #sweep(): Promise<void> {
    for (const name of await readdir(this.directory)) {
      if (name.endsWith(FETCHING) || name.startsWith(ASKED)) await rm(this.pathOf(name))
    }
  }

  /** Says that the prefetcher lives. Throws ENOENT when the spool is gone. */
  async touch(): Promise<void> {
    const now = new Date()
    await utimes(this.pathOf('prefetcher'), now, now)
  }

  async unlock(): Promise<void> {
    await rm(this.pathOf('prefetcher'), { force: true })
  }
}

/** The process id in a data directory's postmaster.pid; null when no server runs there. */
export async function postmasterPid(dataDir: string): Promise<number | null> {
  const content = await readFile(join(dataDir, 'postmaster.pid'), 'utf8').catch(() => '')
  const pid = Number.parseInt(content, 10)
  return pid > 0 && isAlive(pid) ? pid : null
}

/** Whether a process has this number, and has not ended: one that nobody has waited for keeps its number, in containers for long. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false
  }
  try {
    // The program's name, in parentheses, may hold any characters: its state stands behind the last one.
    const state = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return !state.slice(state.lastIndexOf(')')).startsWith(') Z')
  } catch {
    return true
  }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}
