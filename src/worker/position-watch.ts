import { setTimeout as delay } from 'node:timers/promises'
import type { Catalog } from '../catalog/catalog.js'
import type { WorkerSession } from '../catalog/worker-session.js'
import { formatLsn } from '../wal/lsn.js'
import { PrimaryWalAge } from './primary-wal-age.js'
import type { WalKeeper } from './wal-keeper.js'

const LOOK_EVERY_MS = 1000

/**
 * While WAL is read from a standby: shows on the primary how far it is stored, and how old the oldest is that is not.
 *
 * It stands in the session's name (sql/70-wal-position.sql reads it): a row each second would itself be WAL to store.
 */
export class PositionWatch {
  readonly #age = new PrimaryWalAge()

  constructor(
    readonly catalog: Catalog,
    readonly session: WorkerSession,
    readonly keeper: WalKeeper,
  ) {}

  /** Runs until `signal` is aborted. Rejects as the catalog does. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.session.show(await this.#text())
      await delay(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined)
    }
  }

  /** Has room in the 63 bytes of a name, behind that of the session. */
  async #text(): Promise<string> {
    const { readsStandby, durable, streaming } = this.keeper
    if (!readsStandby || !durable) return ''
    const since = this.#age.unsafeSince(await this.catalog.walEnd(), durable)
    const tenths = (Math.floor(since * 10) / 10).toFixed(1)
    return `${durable.timeline} ${formatLsn(durable.lsn)} ${tenths} ${streaming ? 'reads' : 'waits'}`
  }
}
