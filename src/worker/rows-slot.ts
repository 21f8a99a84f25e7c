import type { Logger } from 'pino'
import { asPostboxError } from '../errors.js'
import type { Source } from './source.js'

/**
 * A second replication slot, there only while stored segments have no row (segment-recorder.ts).
 *
 * The first slot says what is stored and moves on with that. This one keeps the WAL of those segments, so that the worker
 * after one that was killed can stream it again and write the rows. Where none can be made the first must keep it.
 */
export class RowsSlot {
  /** its slot and whether it is there; null: not known */
  #made: { slot: string; there: boolean } | null = null
  #last: Promise<void> = Promise.resolve()

  constructor(
    readonly source: Source,
    readonly slot: () => string,
    readonly log: Logger,
  ) {}

  /** Whether it keeps the WAL of every segment without a row. */
  get keeps(): boolean {
    return this.#made?.there ?? false
  }

  /** The source may be another server now. */
  forget(): void {
    this.#made = null
  }

  /** Makes it when rows are held back and drops it when none are. Never rejects: `keeps` says what came of it. */
  follow(held: boolean): Promise<void> {
    this.#last = this.#last.then(() => (held ? this.#make() : this.#drop()))
    return this.#last
  }

  async #make(): Promise<void> {
    if (this.keeps) return
    const slot = this.slot()
    try {
      await this.source.ask((server) => server.makeRowsSlot(slot))
      this.#made = { slot, there: true }
    } catch (thrown) {
      const err = asPostboxError(thrown)
      this.log.warn(
        { err, code: err.code, slot },
        'no second slot could be made: the first keeps WAL until it has rows',
      )
    }
  }

  async #drop(): Promise<void> {
    if (this.#made && !this.#made.there) return
    const slot = this.#made?.slot ?? this.slot()
    // From now on it is not counted on.
    this.#made = null
    try {
      await this.source.ask((server) => server.dropRowsSlot(slot))
      this.#made = { slot, there: false }
    } catch (thrown) {
      const err = asPostboxError(thrown)
      this.log.warn({ err, code: err.code, slot }, 'the second slot could not be dropped; this is tried again')
    }
  }
}
