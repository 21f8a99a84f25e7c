import type { CatalogFigures } from '../../catalog/figures.js'
import type { TermState, WorkerState } from '../worker-state.js'

/** However many ask, the catalog is asked this often: its few sessions are there for WAL. */
const KEPT_MS = 5000
const ANSWER_WITHIN_MS = 5000

/** The catalog's figures for a scrape; null when it does not answer in time. All metrics of one scrape see the same. */
export class FiguresSource {
  #asked: { atMs: number; term: TermState | null; answer: Promise<CatalogFigures | null> } | null = null

  constructor(readonly state: WorkerState) {}

  read(): Promise<CatalogFigures | null> {
    const { term } = this.state
    // What another term was told is not known any more.
    if (this.#asked?.term !== term || performance.now() - this.#asked.atMs > KEPT_MS) {
      this.#asked = { atMs: performance.now(), term, answer: this.#ask(term) }
    }
    return this.#asked.answer
  }

  async #ask(term: TermState | null): Promise<CatalogFigures | null> {
    if (!term) return null
    const late = Promise.withResolvers<null>()
    const timer = setTimeout(() => {
      late.resolve(null)
    }, ANSWER_WITHIN_MS)
    try {
      return await Promise.race([term.catalog.figures(), late.promise])
    } catch {
      return null
    } finally {
      clearTimeout(timer)
    }
  }
}
