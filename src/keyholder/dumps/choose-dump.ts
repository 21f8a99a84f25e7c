import { checkServerName } from '../../box/server-name.js'
import { dumpPrefix, type Home } from '../../box/key-names.js'
import { partsOfDump } from '../../box/dump-manifest.js'
import { PostboxError } from '../../errors.js'
import type { Archive } from '../archive.js'
import { locateEntries, storedOver, type LocatedPart } from '../fetch-parts.js'
import { systemIdentifiers } from '../stored-backups.js'
import { dumps, readDump, type StoredDump } from './stored-dumps.js'

export interface DumpRequest {
  server: string
  /** null: any of the server's lives */
  systemIdentifier: string | null
  /** null: the newest that holds a whole database, unmasked; or the newest masked one */
  dumpId: string | null
  /** null: the one of which there are dumps */
  database: string | null
  /** whether it must be one with masked columns; without it, none is restored */
  masked: boolean
}

export interface ChosenDump {
  home: Home
  dump: StoredDump
  located: Map<string, LocatedPart>
  /** what a person should know: a sentence each */
  notes: string[]
}

interface Found {
  home: Home
  dump: StoredDump
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
  const suspicions = dump.suspicions.map((one) => `suspicious: ${one}`)
  const warnings = dump.manifest.warnings.map(
    (line) => `pg_dump warned when the dump was taken: ${line.replace(/^pg_dump: (warning: )?/, '')}`,
  )
  return { home, dump, located, notes: [...suspicions, ...over, ...warnings] }
}

async function find(archive: Archive, request: DumpRequest): Promise<Found> {
  const { server, systemIdentifier } = request
  const lives = await systemIdentifiers(archive, checkServerName(server))
  const homes = lives
    .filter((one) => systemIdentifier === null || one === systemIdentifier)
    .map((one): Home => ({ server, systemIdentifier: one }))
  return request.dumpId === null ? newest(archive, homes, request) : named(archive, homes, request.dumpId, request)
}

async function named(archive: Archive, homes: Home[], id: string, { server, database }: DumpRequest): Promise<Found> {
  for (const home of homes) {
    const dump = await readDump(archive, home, id)
    if (dump?.state === 'committed') {
      const of = dump.manifest.database
      if (database === null || database === of) return { home, dump }
      throw new PostboxError('bad_argument', `dump ${id} is of database ${of}`, 'Leave --database out, or --dump.')
    }
    if (dump) throw new PostboxError('backup_missing', `dump ${id} cannot be restored: ${dump.problem}`, SEE)
  }
  throw new PostboxError('backup_missing', `the archive does not have dump ${id} of server ${server}`, SEE)
}

/** Without a name of the database, all dumps are read, because there may be another one's. */
async function newest(archive: Archive, homes: Home[], { server, database, masked }: DumpRequest): Promise<Found> {
  const newestOf = new Map<string, Found>()
  for (const home of homes) {
    for await (const dump of dumps(archive, home)) {
      if (dump.state !== 'committed' || !(masked ? dump.manifest.masked : dump.manifest.whole)) continue
      const { database: name } = dump.manifest
      if (database !== null && name !== database) continue
      const known = newestOf.get(name)
      if (known === undefined || known.dump.dumpId < dump.dumpId) newestOf.set(name, { home, dump })
      if (name === database) break
    }
  }
  const names = [...newestOf.keys()].sort()
  if (names.length > 1) {
    const several = `there are dumps of several databases: ${names.join(', ')}`
    throw new PostboxError('bad_argument', several, 'Say which one: --database NAME.')
  }
  const [found] = newestOf.values()
  if (found) return found
  const of = database === null ? 'a database' : `database ${database}`
  const what = masked ? `a masked dump of ${of}` : `a dump of all of ${of}`
  throw new PostboxError('backup_missing', `the archive does not have ${what} of server ${server}`, SEE)
}
