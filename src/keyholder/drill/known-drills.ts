import type { DrillResult } from '../../box/drill-result.js'
import type { Logger } from '../../log.js'
import type { Archive } from '../archive.js'
import { lastDrill } from './stored-drill.js'

/** A grant must not wait for long for what is only news. */
const PATIENCE_MS = 3000

/** The newest drill of each server, for the issuer. Its key may not be allowed to read: then it knows of none. */
export class KnownDrills {
  #told = false

  constructor(
    readonly archive: Archive,
    readonly log: Logger,
  ) {}

  async newest(server: string): Promise<DrillResult | null> {
    const late = Promise.withResolvers<null>()
    const timer = setTimeout(() => {
      late.resolve(null)
    }, PATIENCE_MS)
    try {
      return await Promise.race([lastDrill(this.archive, server), late.promise])
    } catch (error) {
      if (!this.#told) this.log.warn({ err: error }, 'drills cannot be read: servers are not told of them')
      this.#told = true
      return null
    } finally {
      clearTimeout(timer)
    }
  }
}
