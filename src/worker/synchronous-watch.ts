import { setTimeout as delay } from 'node:timers/promises'
import type { Catalog } from '../catalog/catalog.js'
import type { WalKeeper } from './wal-keeper.js'

/** synchronous_standby_names changes by a reload, which nobody tells a standby. */
const LOOK_EVERY_MS = 1000

/** Knows whether a COMMIT waits for the box. Only reads, so that an idle server stays idle. */
export class SynchronousWatch {
  #synchronous = false

  constructor(
    readonly catalog: Catalog,
    readonly keeper: WalKeeper,
  ) {}

  get synchronous(): boolean {
    return this.#synchronous
  }

  /** Runs until `signal` is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      // The primary waits for a standby of that name, and not for who reads from a standby.
      const synchronous = !this.keeper.readsStandby && (await this.catalog.isSynchronous())
      if (synchronous !== this.#synchronous) {
        this.#synchronous = synchronous
        this.keeper.paceChanged.wake()
      }
      await delay(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined)
    }
  }
}
