import type { DrillResult } from '../box/drill-result.js'
import type { KeptArchive } from '../box/kept-archive.js'
import type { Logger } from '../log.js'
import type { Archive } from './archive.js'
import { lastDrills } from './drill/stored-drill.js'
import { lastKept } from './prune/stored-kept.js'

/** A grant must not wait for long for what is only news. */
const PATIENCE_MS = 3000
/** The worker takes an answer of 1 MiB. */
const MAX_KEPT_CHARS = 700_000

/** What the keyholder knows of a server and the server does not. */
export interface News {
  /** of the life that goes on as far as drills tell; for workers that do not know `drills` */
  drill?: DrillResult
  /** the newest of each of its lives */
  drills?: DrillResult[]
  /** what of each of its lives is stored, since prune last deleted the rest */
  kept?: KeptArchive[]
}

/** News of each server, for the issuer. Its key may not be allowed to read: then it knows of none. */
export class KnownNews {
  #told = false

  constructor(
    readonly archive: Archive,
    readonly log: Logger,
  ) {}

  async of(server: string): Promise<News> {
    const [drills, kept] = await Promise.all([
      this.#soon(lastDrills(this.archive, server)),
      this.#soon(lastKept(this.archive, server)),
    ])
    const tooMuch = JSON.stringify(kept).length > MAX_KEPT_CHARS
    const [drill] = drills ?? []
    return { ...(drill && { drill, drills: drills! }), ...(kept && kept.length > 0 && !tooMuch && { kept }) }
  }

  async #soon<T>(asked: Promise<T>): Promise<T | null> {
    const late = Promise.withResolvers<null>()
    const timer = setTimeout(() => {
      late.resolve(null)
    }, PATIENCE_MS)
    try {
      return await Promise.race([asked, late.promise])
    } catch (error) {
      if (!this.#told) this.log.warn({ err: error }, 'what is known of servers cannot be read: they are not told of it')
      this.#told = true
      return null
    } finally {
      clearTimeout(timer)
    }
  }
}
