import { setTimeout as delay } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import type { Logger } from 'pino'
import type { Catalog } from '../catalog/catalog.js'
import type { NotedCheck, WorkerFacts } from '../catalog/checks.js'
import type { ClockWatch } from './clock-watch.js'
import { DiskWatch } from './disk-watch.js'

const LOOK_EVERY_MS = 5000
/** Looking at a disk is cheap, and it fills slowly. */
const DISK_EVERY_TURNS = 6

export interface CheckWatchOptions {
  catalog: Catalog
  clock: ClockWatch
  log: Logger
  /** what has changed, after the database has notified of it */
  onChange: (checks: readonly NotedCheck[]) => void
  /** all of them, at each turn */
  onLook?: (checks: readonly NotedCheck[]) => void
}

/**
 * Looks at backup.checks all the time, so that somebody hears of a change. It writes nothing while nothing changes.
 *
 * That no worker runs nobody notifies of: who asks sees it by the check `worker`.
 */
export class CheckWatch {
  readonly #disk: DiskWatch
  #space: WorkerFacts['disk']
  #turns = 0
  /** _start_worker() has forgotten what the last one knew */
  #reported: WorkerFacts = {}

  constructor(readonly options: CheckWatchOptions) {
    this.#disk = new DiskWatch(options.catalog)
  }

  /** Runs until `signal` is aborted. Rejects as the catalog does. */
  async run(signal: AbortSignal): Promise<void> {
    const { catalog, clock, log, onChange, onLook } = this.options
    while (!signal.aborted) {
      await this.#reportFacts()
      const askedAt = Date.now()
      const checks = await catalog.checks.note()
      const answeredAt = Date.now()
      // Between question and answer; nobody knows when.
      if (checks[0]) clock.sawDatabase(outside(checks[0].at.getTime(), askedAt, answeredAt))
      onLook?.(checks)
      const changed = checks.filter((check) => check.changed)
      for (const { name, was, state, message } of changed) {
        log[state === 'ok' ? 'info' : 'warn']({ check: name, from: was, to: state }, message)
      }
      if (changed.length > 0) onChange(changed)
      await delay(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined)
    }
  }

  async #reportFacts(): Promise<void> {
    const { catalog, clock } = this.options
    if (this.#turns++ % DISK_EVERY_TURNS === 0) this.#space = (await this.#disk.look()) ?? undefined
    const facts: WorkerFacts = { ...clock.facts(), ...(this.#space && { disk: this.#space }) }
    if (isDeepStrictEqual(facts, this.#reported)) return
    await catalog.checks.reportFacts(facts)
    this.#reported = facts
  }
}

/** How far a moment lies before or after a span; 0 within. */
function outside(at: number, from: number, to: number): number {
  if (at < from) return at - from
  return at > to ? at - to : 0
}
