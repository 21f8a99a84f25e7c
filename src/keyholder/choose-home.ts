import { checkServerName } from '../box/server-name.js'
import type { Home } from '../box/key-names.js'
import { PostboxError } from '../errors.js'
import type { Archive } from './archive.js'
import { backupIds, readBackup, systemIdentifiers } from './stored-backups.js'

/**
 * Which of a server's lives to restore: after initdb or pg_upgrade the same name has another system identifier.
 *
 * `asked`: null takes the life with the newest finished backup. Throws `backup_missing`.
 */
export async function chooseHome(
  archive: Archive,
  server: string,
  asked: string | null,
): Promise<{ home: Home; notes: string[] }> {
  const found = await systemIdentifiers(archive, checkServerName(server))
  if (found.length === 0 || (asked !== null && !found.includes(asked))) {
    const what = asked === null || found.length === 0 ? 'nothing' : `no system identifier ${asked}`
    const known = found.length === 0 ? '' : `; there are ${found.join(', ')}`
    throw new PostboxError(
      'backup_missing',
      `${what} is stored for server ${server}${known}`,
      'Run "postbox list" to see which servers are in the bucket.',
    )
  }
  const homes = (asked === null ? found : [asked]).map((systemIdentifier) => ({ server, systemIdentifier }))
  if (homes.length === 1) return { home: homes[0]!, notes: [] }

  const dated = await Promise.all(homes.map(async (home) => ({ home, newest: await newestCommitted(archive, home) })))
  dated.sort((a, b) => (a.newest < b.newest ? 1 : -1))
  const { home } = dated[0]!
  const others = dated.slice(1).map((one) => one.home.systemIdentifier)
  const note = `server ${server} has had ${homes.length} system identifiers; taking ${home.systemIdentifier}, which has the newest backup (others, by --system-identifier: ${others.join(', ')})`
  return { home, notes: [note] }
}

/** Id of the newest finished backup, or an empty text. Ids sort by time. */
async function newestCommitted(archive: Archive, home: Home): Promise<string> {
  for (const id of await backupIds(archive, home)) {
    if ((await readBackup(archive, home, id))?.state === 'committed') return id
  }
  return ''
}
