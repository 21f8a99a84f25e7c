import type { ServerResponse } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { pageSections } from '../page/page-body.js'
import type { PageSource } from './page-source.js'

const EVERY_MS = 3000
/** More than a team of people has open. */
const VIEWERS_AT_MOST = 20
/** Who has not taken so much is not there any more. */
const UNREAD_AT_MOST = 2 * 1024 * 1024

/**
 * Sends those who look what has changed on the page: sections by their id, whole. Who comes gets them all.
 *
 * Nobody is asked anything while nobody looks.
 */
export class PageLive {
  readonly #viewers = new Set<ServerResponse>()
  readonly #closing = new AbortController()
  #sent = new Map<string, string>()
  #turning: Promise<void> | null = null

  constructor(readonly source: PageSource) {}

  get hasRoom(): boolean {
    return this.#viewers.size < VIEWERS_AT_MOST && !this.#closing.signal.aborted
  }

  /** Takes over a connection to which the head was written. */
  add(response: ServerResponse): void {
    this.#viewers.add(response)
    response.on('close', () => this.#viewers.delete(response))
    response.on('error', () => this.#viewers.delete(response))
    // The first event may take a while.
    response.write('retry: 3000\n\n')
    if (this.#sent.size > 0) this.#tell([response], this.#sent)
    this.#turning ??= this.#turn().finally(() => (this.#turning = null))
  }

  /** Ends every connection. */
  async close(): Promise<void> {
    this.#closing.abort()
    for (const viewer of this.#viewers) viewer.end()
    await this.#turning
  }

  async #turn(): Promise<void> {
    const { signal } = this.#closing
    while (this.#viewers.size > 0 && !signal.aborted) {
      const sections = pageSections(await this.source.read())
      const changed = new Map([...sections].filter(([id, text]) => this.#sent.get(id) !== text))
      this.#sent = sections
      // An empty one says that the worker is there.
      this.#tell([...this.#viewers], changed)
      await delay(EVERY_MS, undefined, { signal, ref: false }).catch(() => undefined)
    }
    this.#sent = new Map()
  }

  #tell(viewers: readonly ServerResponse[], sections: ReadonlyMap<string, string>): void {
    const event = `data: ${JSON.stringify(Object.fromEntries(sections))}\n\n`
    for (const viewer of viewers) {
      if (viewer.writableLength > UNREAD_AT_MOST) viewer.destroy()
      else viewer.write(event)
    }
  }
}
