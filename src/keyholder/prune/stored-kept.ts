import { randomBytes } from 'node:crypto'
import { formatBackupId, type Home } from '../../box/key-names.js'
import { KeptArchive } from '../../box/kept-archive.js'
import { formatLsn } from '../../wal/lsn.js'
import type { Archive, StoredObject } from '../archive.js'
import { dumps } from '../dumps/stored-dumps.js'
import { backups } from '../stored-backups.js'
import { walTimelines } from '../stored-wal.js'
import { WalMap } from '../wal-map.js'
import type { DeletableArchive } from './deletable-archive.js'

/** Not in the server's own folder: a server must not be told by itself what is stored. */
export const keptPrefix = (server: string): string => `.postbox/kept/${server}/`

/** Lists what is left of a life, and keeps that with the archive for the issuer to tell. */
export async function storeKept(archive: DeletableArchive, home: Home, segmentBytes: number | null): Promise<void> {
  const listedAt = archive.now()
  const kept: KeptArchive = {
    postbox_kept: 1,
    server: home.server,
    system_identifier: home.systemIdentifier,
    listed_at: listedAt.toISOString(),
    backups: [],
    dumps: [],
    wal: await storedWal(archive, home, segmentBytes),
  }
  for await (const { backupId, state } of backups(archive, home)) if (state === 'committed') kept.backups.push(backupId)
  for await (const { dumpId, state } of dumps(archive, home)) if (state === 'committed') kept.dumps.push(dumpId)
  const id = formatBackupId(listedAt, randomBytes(2))
  const key = `${keptPrefix(home.server)}${home.systemIdentifier}/${id}.json`
  await archive.put(key, Buffer.from(JSON.stringify(kept) + '\n'))
}

async function storedWal(archive: Archive, home: Home, segmentBytes: number | null): Promise<KeptArchive['wal']> {
  const timelines = await walTimelines(archive, home)
  if (segmentBytes === null) return timelines.length === 0 ? [] : null
  const wal = new WalMap(archive, home, segmentBytes)
  const stored: NonNullable<KeptArchive['wal']> = []
  for (const timeline of timelines) {
    const { runs } = await wal.wal(timeline, 0n)
    stored.push(...runs.map(({ from, to }) => ({ timeline, from_lsn: formatLsn(from), to_lsn: formatLsn(to) })))
  }
  return stored
}

/** What was found last of each life of a server. */
export async function lastKept(archive: Archive, server: string): Promise<KeptArchive[]> {
  const newest = new Map<string, StoredObject>()
  for await (const object of archive.list(keptPrefix(server))) {
    newest.set(object.key.slice(0, object.key.lastIndexOf('/')), object)
  }
  const found: KeptArchive[] = []
  for (const object of newest.values()) {
    const { data } = KeptArchive.safeParse(JSON.parse((await archive.read(object)).toString()))
    if (data?.server === server) found.push(data)
  }
  return found
}
