import type { Home } from '../../box/key-names.js'
import type { Archive } from '../archive.js'
import { placeOf } from '../backup-place.js'
import { inOrder } from '../in-order.js'
import { readBackup } from '../stored-backups.js'
import { segmentsOfWay } from '../wal-chain.js'
import type { Segment } from '../../wal/segment.js'
import { WalMap } from '../wal-map.js'
import { findRoute } from '../wal-route.js'
import { damageOf, lost, type Problem } from './problem.js'
import { checkContent } from './verify-contents.js'

/**
 * Reads the WAL that a base backup needs, from its start to its end, as a restore takes it: whole segments, or their tails,
 * which are read by the look for its route. What is missing of it is verifyHome()'s to say. Nothing for a dump.
 */
export async function verifyBackupWal(
  archive: Archive,
  home: Home,
  backupId: string,
  jobs: number,
  onRead: (bytes: number) => void,
): Promise<Problem[]> {
  const backup = await readBackup(archive, home, backupId)
  if (backup?.state !== 'committed') return []
  const place = placeOf(backup)
  const wal = new WalMap(archive, home, backup.manifest.wal_segment_bytes)
  const route = await findRoute(wal, place, place.timeline)
  if (!route) return []
  const problems: Problem[] = []
  const look = async (segment: Segment) => {
    if (route.joined.has(segment.start)) return 0
    const contents = await wal.contentsOf(segment)
    const mark = route.markAt(segment.start)
    const taken = mark === null ? contents[0] : contents.find((one) => one.mark === mark)
    if (!taken) return 0
    const damaged = await damageOf(checkContent(archive, home, taken))
    if (damaged !== null) problems.push(lost(damaged, backupId))
    return taken.object.bytes
  }
  const needed = segmentsOfWay(route.way, place.startLsn, place.stopLsn, wal.segmentBytes)
  for await (const bytes of inOrder(needed, { atOnce: jobs }, look)) onRead(bytes)
  return problems
}
