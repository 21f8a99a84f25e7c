import { formatLsn, type Lsn } from '../wal/lsn.js'
import type { WalKeeper } from './wal-keeper.js'

/** WAL that lies before a point, is not stored, and never will be. */
export interface WalLoss {
  timeline: number
  /** where WAL is stored again from */
  to: Lsn
  reason: string
  /** whether a base backup that runs now has not begun to read */
  runningBeginsAfter: boolean
}

/** Writes down what is lost before the slot, once; nothing happens when nothing was stored before it. */
export async function recordLoss(keeper: WalKeeper, systemIdentifier: string, loss: WalLoss): Promise<void> {
  await recordGap(keeper, systemIdentifier, loss)
  keeper.lossReason = null
  keeper.gaveUp = false
}

/** Writes any loss down, once. */
export async function recordGap(keeper: WalKeeper, systemIdentifier: string, loss: WalLoss): Promise<void> {
  const { catalog, log } = keeper.options
  const from = await catalog.recordGap(systemIdentifier, loss)
  if (from === null) return
  log.error(
    { from: formatLsn(from), to: formatLsn(loss.to), timeline: loss.timeline, reason: loss.reason },
    'WAL is lost: there is a gap in what is stored, and only a new base backup gets past it',
  )
}
