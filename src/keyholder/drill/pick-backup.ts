import { randomInt } from 'node:crypto'
import { PostboxError } from '../../errors.js'
import type { Archive } from '../archive.js'
import { chooseHome } from '../choose-home.js'
import { backups } from '../stored-backups.js'

/** An id, or which of them. */
export type Pick = string

/** Null where planning a restore is to choose the newest that can reach the target. Throws `backup_missing`. */
export async function pickBackup(
  archive: Archive,
  server: string,
  systemIdentifier: string | null,
  pick: Pick,
): Promise<string | null> {
  if (pick === 'newest') return null
  if (pick !== 'random') return pick
  const { home } = await chooseHome(archive, server, systemIdentifier, null)
  const ids: string[] = []
  for await (const backup of backups(archive, home)) if (backup.state === 'committed') ids.push(backup.backupId)
  if (ids.length > 0) return ids[randomInt(ids.length)]!
  throw new PostboxError('backup_missing', `no backup of server ${server} is finished`, 'See "postbox list".')
}
