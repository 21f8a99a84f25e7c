import { execFile } from 'node:child_process'
import { open } from 'node:fs/promises'
import { promisify } from 'node:util'
import { PostboxError } from '../errors.js'

const run = promisify(execFile)

/** Makes all that was written durable: one sync of each file system, not one per file. */
export async function syncFileSystems(directories: readonly string[]): Promise<void> {
  try {
    await run('sync', ['-f', '--', ...directories])
  } catch {
    // No -f in this sync: the one that takes all file systems.
    await run('sync').catch((cause: unknown) => {
      const hint = 'The files may not be on disk. Mend the disk, empty the directory and restore again.'
      throw new PostboxError('restore_failed', 'what was restored could not be synced', hint, { cause })
    })
  }
}

/** Makes new names in a directory durable. */
export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
