import type { Logger } from 'pino'
import type { Home } from '../box/key-names.js'
import type { Catalog } from '../catalog/catalog.js'
import { formatLsn } from '../wal/lsn.js'
import type { CopiedBackup } from './base-backup-copy.js'
import type { Source } from './source.js'

/** What was seen when a standby had sent the last byte of a base backup. */
export interface StandbyEnd {
  /** the primary's clock */
  endedAt: Date
  /** of the last transaction that the standby had replayed, by whoever committed it; null when it had replayed none */
  replayedAt: Date | null
}

/**
 * A primary finishes the segment in which a backup of its own ends; of a backup of a standby it knows nothing, and when
 * it is idle the WAL would never be whole.
 */
export async function endOfStandbyBackup(
  source: Source,
  catalog: Catalog,
  { stopLsn }: CopiedBackup,
  log: Logger,
): Promise<StandbyEnd> {
  const endedAt = await catalog.now()
  const replayedAt = await source.ask((server) => server.lastReplayedAt())
  if (!(await catalog.finishSegment(stopLsn))) {
    log.info({ stopLsn: formatLsn(stopLsn) }, 'the backup is done when the segment in which it ends is full')
  }
  return { endedAt, replayedAt }
}

/**
 * The earliest time that a backup of a standby can be restored to: everything in it had been committed by then.
 *
 * That is the case when the segment was stored in which the backup ends, which for a standby that lags, or is kept
 * behind on purpose, is long before the backup itself ended. The time of the last transaction is no lower bound by
 * itself, as commits are not written in the order of their times; it counts only where a failover changed the clock.
 *
 * To be called once the WAL is stored.
 */
export async function earliestTime(
  catalog: Catalog,
  { systemIdentifier }: Home,
  { timeline, stopLsn }: CopiedBackup,
  { endedAt, replayedAt }: StandbyEnd,
): Promise<Date> {
  const writtenBy = await catalog.walWrittenBy(systemIdentifier, timeline, stopLsn)
  const earliest = writtenBy && writtenBy < endedAt ? writtenBy : endedAt
  return replayedAt && replayedAt > earliest ? replayedAt : earliest
}
