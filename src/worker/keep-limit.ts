import type { Settings } from '../catalog/settings.js'
import type { Source } from './source.js'

/** For so long the box must have taken nothing. A failed try to post lasts a minute or two by itself. */
const STALLED_MS = 30_000

/** Codes of what the box, the grant or the issuer is to blame for: over when something is stored. */
export const BOX_TROUBLE = /^(box|grant|issuer|clock|part)_/

/**
 * Watches the setting wal_keep_limit, for those who prefer a gap to a full disk.
 *
 * Never strikes while anything gets stored, nor where giving the slot up would free nothing.
 */
export class KeepLimit {
  #stalledAtMs: number | null = null

  constructor(
    readonly source: Source,
    readonly settings: () => Settings,
  ) {}

  /** The box took something. */
  progress(): void {
    this.#stalledAtMs = null
  }

  /** After a failure: why the slot should be given up, as the reason of a gap reads; null when it should not. */
  async exceeded(failure: { code: string }, nowMs: number): Promise<string | null> {
    // Whatever else keeps WAL from being stored is not healed by room on the disk.
    if (!BOX_TROUBLE.test(failure.code)) return null
    this.#stalledAtMs ??= nowMs
    const { slot, wal_keep_limit: limit } = this.settings()
    if (limit === 0 || nowMs - this.#stalledAtMs < STALLED_MS) return null
    const hold = await this.source.ask((server) => server.slotHold(slot))
    if (hold === null || hold.kept_bytes <= limit || hold.freed_bytes <= 0) return null
    return `the box took nothing (${failure.code}) and the replication slot ${slot} kept more than wal_keep_limit`
  }
}
