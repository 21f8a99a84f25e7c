import { chmod, chown, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { forgetDirectory, removeWithUs } from './guard.js'
import { sandboxUser, tempRoot } from './user.js'

const made = new Set<string>()

/** A new directory with a short path, owned by the sandbox user. Gone when the process ends, at the latest. */
export async function scratchDir(prefix: string): Promise<string> {
  const directory = await mkdtemp(join(tempRoot(), `pb-${prefix}-`))
  made.add(directory)
  removeWithUs(directory)
  const user = sandboxUser()
  if (user) await chown(directory, user.uid, user.gid)
  await chmod(directory, 0o755)
  return directory
}

/** Removes one scratch directory, or every one that this process made. */
export async function removeScratch(directory?: string): Promise<void> {
  for (const one of directory === undefined ? [...made] : [directory]) {
    await rm(one, { recursive: true, force: true })
    made.delete(one)
    forgetDirectory(one)
  }
}

/** Makes an empty directory that belongs to the sandbox user, and returns its path. */
export async function sandboxOwned(directory: string): Promise<string> {
  await mkdir(directory, { mode: 0o700 })
  const user = sandboxUser()
  if (user) await chown(directory, user.uid, user.gid)
  return directory
}
