import { parseSegmentKey } from '../box/key-names.js'
import { parseLsn, type Lsn } from '../wal/lsn.js'
import { segmentStart } from '../wal/segment.js'
import type { StoredBackup } from './stored-backups.js'
import { microsOf } from './target.js'
import type { WalMap } from './wal-map.js'
import type { Waypoint } from './wal-path.js'

/** Where a backup lies in the WAL. */
export interface BackupPlace {
  timeline: number
  startLsn: Lsn
  stopLsn: Lsn
  /** the segment that holds its last byte, by which its WAL is known; null when its manifest does not say */
  stopSegment: Waypoint | null
}

/** Start and end of a backup in the WAL. */
export function placeOf({ manifest }: StoredBackup): BackupPlace {
  const { timeline, wal_segment_bytes: segmentBytes } = manifest
  const stopLsn = parseLsn(manifest.stop_lsn)
  const mark = parseSegmentKey(manifest.stop_segment_key ?? '')?.sha12
  const segment = { timeline, start: segmentStart(stopLsn - 1n, segmentBytes) }
  return {
    timeline,
    startLsn: parseLsn(manifest.start_lsn),
    stopLsn,
    stopSegment: mark === undefined ? null : { segment, mark },
  }
}

/** When a backup was begun, by its id, in microseconds from 1970; 0 for what is no id. */
export function startOf(backupId: string): bigint {
  const iso = backupId.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z.*$/, '$1-$2-$3T$4:$5:$6Z')
  const time = Date.parse(iso)
  return Number.isNaN(time) ? 0n : microsOf(new Date(time))
}

/** Whether the backup's last segment is there with other bytes alone. */
export async function isReplaced(wal: WalMap, { stopSegment }: BackupPlace): Promise<boolean> {
  const mark = stopSegment && (await wal.markOf(stopSegment.segment))
  return mark !== null && mark !== stopSegment?.mark
}
