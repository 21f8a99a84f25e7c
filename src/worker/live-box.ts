import type { Logger } from 'pino'
import type { Box } from '../box/box.js'
import { createHttpBox } from '../box/http-box.js'
import { refreshing } from '../box/refreshing.js'
import { retrying } from '../box/retrying.js'
import { createThrottle } from '../box/throttle.js'
import type { Catalog } from '../catalog/catalog.js'
import type { Settings } from '../catalog/settings.js'
import { asPostboxError } from '../errors.js'
import type { GrantKeeper } from './grant-keeper.js'

export interface LiveBoxOptions {
  grants: GrantKeeper
  settings: () => Settings
  ca: string | undefined
  signal: AbortSignal
  catalog: Catalog
  log: Logger
}

/** WAL has connections of its own, so that a base backup never makes it wait. */
const WAL_CONNECTIONS = 4

/** The box as the worker uses it: one for jobs and one for WAL, under one bandwidth limit, with the grant in use. */
export class LiveBox {
  readonly forJobs: Box
  readonly forWal: Box
  readonly #throttle: ReturnType<typeof createThrottle>
  readonly #closing: (() => Promise<void>)[] = []
  #reported = false

  constructor(readonly options: LiveBoxOptions) {
    const { upload_rate_limit, upload_connections } = options.settings()
    this.#throttle = createThrottle(upload_rate_limit)
    this.forJobs = this.#open(upload_connections)
    this.forWal = this.#open(WAL_CONNECTIONS)
  }

  /** The bandwidth limit holds from now on, also for what is under way. */
  applySettings(): void {
    this.#throttle.setRate(this.options.settings().upload_rate_limit)
  }

  async close(): Promise<void> {
    await Promise.all(this.#closing.map((close) => close()))
  }

  #open(connections: number): Box {
    const { grants, ca, signal } = this.options
    const http = createHttpBox({
      grant: () => grants.current(),
      connections,
      throttle: this.#throttle,
      ...(ca === undefined ? {} : { ca }),
    })
    this.#closing.push(() => http.close())
    return this.#reporting(retrying(refreshing(http, () => grants.refresh(signal))))
  }

  /** What the box last failed with stands in backup.checks until it works again. */
  #reporting(inner: Box): Box {
    const { catalog } = this.options
    return {
      post: async (part, signal) => {
        try {
          const receipt = await inner.post(part, signal)
          if (this.#reported) {
            this.#reported = false
            await catalog.reportProblem('box', null).catch(() => undefined)
          }
          return receipt
        } catch (thrown) {
          if (!signal.aborted) {
            this.#reported = true
            await catalog.reportProblem('box', asPostboxError(thrown)).catch(() => undefined)
          }
          throw thrown
        }
      },
    }
  }
}
