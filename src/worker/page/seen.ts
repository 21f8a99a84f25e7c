import type { Overview } from '../../catalog/overview.js'
import type { Lsn } from '../../wal/lsn.js'
import type { WalHistory } from '../wal-history.js'

/** All that the page is made of, at one moment. */
export interface Seen {
  /** what the catalog said last; null: it has not answered yet */
  overview: Overview | null
  /** up to where the worker itself had stored WAL then; null: it has not streamed yet */
  durable: Lsn | null
  /** when that was, by the worker's clock */
  readAt: Date | null
  /** null: it has just answered. Otherwise since when somebody saw that it does not, and why */
  away: { since: Date; why: string } | null
  /** whether WAL is streamed now */
  streaming: boolean
  wal: WalHistory
  now: Date
}
