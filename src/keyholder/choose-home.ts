import { checkServerName } from '../box/server-name.js'
import type { Home } from '../box/key-names.js'
import { PostboxError } from '../errors.js'
import type { Archive } from './archive.js'
import { backupIds, readBackup, systemIdentifiers } from './stored-backups.js'
import { storedLate } from './stored-late.js'
import type { Target } from './target.js'

/** One of a server's lives, and the system identifiers of its others. */
export interface ChosenHome {
  home: Home
  others: string[]
  notes: string[]
}

/**
 * Which of a server's lives to restore: after initdb or pg_upgrade the same name has another system identifier.
 *
 * `asked`: null takes the life that has the backup `backupId`, or the newest finished one; for a time, before it. Throws `backup_missing`.
 */
export async function chooseHome(
  archive: Archive,
  server: string,
  asked: string | null,
  backupId: string | null,
  target: Target | null = null,
): Promise<ChosenHome> {
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
  const chosen = (home: Home, notes: string[] = []): ChosenHome => {
    return { home, others: found.filter((one) => one !== home.systemIdentifier), notes }
  }
  if (homes.length === 1) return chosen(homes[0]!)
  if (backupId !== null) {
    const having = await Promise.all(homes.map(async (home) => (await readBackup(archive, home, backupId)) && home))
    const home = having.find((one) => one !== null)
    if (home) return chosen(home)
  }

  // By the time of backups: a new life may begin anywhere in the WAL, and identifiers say when initdb ran.
  const rank = async (at: Date | null) => {
    const dated = await Promise.all(
      homes.map(async (home) => ({ home, newest: await newestBackup(archive, home, at) })),
    )
    return dated.sort((a, b) => (a.newest < b.newest ? 1 : -1))
  }
  // A life that had stored nothing before the target is not the one of that time, whatever its backups say.
  const ofTheTime = target?.kind === 'time' ? await rank(new Date(Number(target.micros / 1000n))) : []
  const isKnown = ofTheTime.some(({ newest }) => newest !== '')
  const [{ home } = { home: homes[0]! }, ...rest] = isKnown ? ofTheTime : await rank(null)
  const others = rest.map((one) => one.home.systemIdentifier)
  const which = isKnown ? 'the newest backup before that time' : 'the newest backup'
  const note = `server ${server} has had ${homes.length} system identifiers; taking ${home.systemIdentifier}, which has ${which} (others, by --system-identifier: ${others.join(', ')})`
  return chosen(home, [note])
}

/**
 * Id of the newest finished backup, or an empty text. Ids sort by time. `at`: only of those that had ended by then, and whose
 * word for that can be taken.
 */
async function newestBackup(archive: Archive, home: Home, at: Date | null): Promise<string> {
  for (const id of await backupIds(archive, home)) {
    const backup = await readBackup(archive, home, id)
    if (backup?.state !== 'committed') continue
    if (at === null || (new Date(backup.manifest.stopped_at) <= at && storedLate(backup) === null)) return id
  }
  return ''
}
