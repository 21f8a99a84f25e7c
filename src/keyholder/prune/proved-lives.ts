import type { Archive } from '../archive.js'
import { provedBackups } from '../drill/stored-drill.js'
import type { Life } from './life.js'
import { uidOf } from './stored-folder.js'

/**
 * By system identifier, when the newest good base backup that a drill proved was stored.
 *
 * Nothing else tells a life that goes on from one that somebody forged with a grant: no grant reaches the results of drills.
 */
export async function provedLives(
  archive: Archive,
  server: string,
  lives: readonly Life[],
): Promise<Map<string, Date>> {
  const proved = new Map<string, Date>()
  if (lives.length < 2) return proved
  const good = lives.flatMap(({ folders }) => folders).filter(({ kind, state }) => kind === 'base' && state === 'good')
  const byUid = new Map(good.map((folder) => [uidOf(folder), folder]))
  for (const { systemIdentifier, id } of await provedBackups(archive, server, new Set(good.map((one) => one.id)))) {
    const storedAt = byUid.get(uidOf({ home: { server, systemIdentifier }, id }))?.storedAt
    const known = proved.get(systemIdentifier)
    if (storedAt && (!known || storedAt > known)) proved.set(systemIdentifier, storedAt)
  }
  return proved
}
