import type { Catalog } from '../../catalog/catalog.js'
import type { Overview } from '../../catalog/overview.js'
import { asPostboxError } from '../../errors.js'
import type { Lsn } from '../../wal/lsn.js'
import type { Seen } from '../page/seen.js'
import type { TermState, WorkerState } from '../worker-state.js'

/** However many look, the catalog is asked this often: its few sessions are there for WAL. */
const KEPT_MS = 3000
const ANSWER_WITHIN_MS = 5000
const DAY_MS = 86_400_000

/** What the page shows, read from the catalog while somebody looks, and kept for when it does not answer. */
export class PageSource {
  #asked: { atMs: number; term: TermState | null; answer: Promise<void> } | null = null
  /** a statement that was given up is waited for before there is another */
  #isAsking = false
  #overview: Overview | null = null
  #durable: Lsn | null = null
  #readAt: Date | null = null
  #away: Seen['away'] = null

  constructor(readonly state: WorkerState) {}

  /** Never rejects, and takes some seconds at the most. */
  async read(): Promise<Seen> {
    const { term } = this.state
    if (this.#asked?.term !== term || performance.now() - this.#asked.atMs > KEPT_MS) {
      this.#asked = { atMs: performance.now(), term, answer: this.#ask(term) }
    }
    await this.#asked.answer
    return {
      overview: this.#overview,
      durable: this.#durable,
      readAt: this.#readAt,
      away: this.#away,
      streaming: term?.streaming() ?? false,
      wal: this.state.wal,
      now: new Date(),
    }
  }

  async #ask(term: TermState | null): Promise<void> {
    if (!term) {
      this.#isAway('it cannot be reached, or another worker serves it')
      return
    }
    const late = Promise.withResolvers<null>()
    const timer = setTimeout(() => {
      late.resolve(null)
    }, ANSWER_WITHIN_MS)
    try {
      const overview = this.#isAsking ? null : await Promise.race([this.#overviewOf(term), late.promise])
      if (overview === null) {
        this.#isAway('it takes longer than some seconds')
        return
      }
      this.#overview = overview
      // Asked after the catalog, which was told by it.
      this.#durable = term.durable()?.lsn ?? null
      this.#readAt = new Date()
      this.#away = null
    } catch (thrown) {
      this.#isAway(asPostboxError(thrown).message)
    } finally {
      clearTimeout(timer)
    }
  }

  async #overviewOf({ catalog }: TermState): Promise<Overview> {
    this.#isAsking = true
    try {
      const overview = await catalog.overviews.read()
      // The page is not the worse for not knowing yesterday.
      await this.#fillHistory(catalog).catch(() => undefined)
      return overview
    } finally {
      this.#isAsking = false
    }
  }

  async #fillHistory(catalog: Catalog): Promise<void> {
    const { wal } = this.state
    if (wal.filled) return
    const { from, rows } = await catalog.overviews.storedWal(Date.now() - DAY_MS)
    // What this process stored it has counted itself.
    wal.fill(
      from,
      rows.filter(({ at }) => at < wal.startedAt),
    )
  }

  #isAway(why: string): void {
    this.#away = { since: this.#away?.since ?? new Date(), why }
  }
}
