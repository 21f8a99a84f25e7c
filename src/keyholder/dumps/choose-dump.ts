import { checkServerName } from '../../box/server-name.js'
import { dumpPrefix, type Home } from '../../box/key-names.js'
import { partsOfDump } from '../../box/dump-manifest.js'
import { PostboxError } from '../../errors.js'
import type { Archive } from '../archive.js'
import { locateEntries, storedOver, type LocatedPart } from '../fetch-parts.js'
import { systemIdentifiers } from '../stored-backups.js'
import { dumpIds, readDump, type StoredDump } from './stored-dumps.js'

export interface DumpRequest {
  server: string
  /** null: any of the server's lives */
  systemIdentifier: string | null
  /** null: the newest that holds a whole database, unmasked; or the newest masked one */
  dumpId: string | null
  /** whether it must be one with masked columns; without it, none is restored */
  masked: boolean
}

export interface ChosenDump {
  home: Home
  dump: StoredDump
  located: Map<string, LocatedPart>
  notes: string[]
}

const SEE = 'See "postbox list --server".'

/**
 * Finds a dump and every part of it. Throws `bad_argument`, `backup_missing`, `dump_masked`, `object_missing` or
 * `object_damaged`.
 */
export async function chooseDump(archive: Archive, request: DumpRequest): Promise<ChosenDump> {
  const { home, dump } = await find(archive, request)
  if (request.masked && !dump.manifest.masked) {
    const what = `dump ${dump.dumpId} has no masked columns: it holds what the database held`
    throw new PostboxError('bad_argument', what, 'To restore it all the same, leave --masked out.')
  }
  if (dump.manifest.masked && !request.masked) {
    const what = `dump ${dump.dumpId} has masked columns: it does not hold what the database held`
    throw new PostboxError('dump_masked', what, 'To restore it all the same, say --masked.')
  }
  const located = await locateEntries(archive, dumpPrefix(home, dump.dumpId), partsOfDump(dump.manifest))
  const over = storedOver(located).map(
    (key) => `suspicious: other bytes were stored over ${key} later; its first version is taken`,
  )
  return { home, dump, located, notes: [...dump.suspicions.map((one) => `suspicious: ${one}`), ...over] }
}

async function find(archive: Archive, { server, systemIdentifier, dumpId, masked }: DumpRequest) {
  const lives = await systemIdentifiers(archive, checkServerName(server))
  const homes = lives
    .filter((one) => systemIdentifier === null || one === systemIdentifier)
    .map((one): Home => ({ server, systemIdentifier: one }))
  const ids: { home: Home; id: string }[] = []
  for (const home of homes) for (const id of await dumpIds(archive, home)) ids.push({ home, id })
  ids.sort((a, b) => (a.id < b.id ? 1 : -1))
  for (const { home, id } of ids) {
    if (dumpId !== null && id !== dumpId) continue
    const dump = await readDump(archive, home, id)
    if (dump?.state === 'committed') {
      if (dumpId !== null || (masked ? dump.manifest.masked : dump.manifest.whole)) return { home, dump }
    } else if (dump && dumpId !== null) {
      throw new PostboxError('backup_missing', `dump ${id} cannot be restored: ${dump.problem}`, SEE)
    }
  }
  const what = dumpId !== null ? `dump ${dumpId}` : masked ? 'a masked dump' : 'a dump of a whole database'
  throw new PostboxError('backup_missing', `the archive does not have ${what} of server ${server}`, SEE)
}
