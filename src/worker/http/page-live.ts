import type { ServerResponse } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { pageEdition, pageSections } from '../page/page-body.js'
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
  #isTurning = false

  constructor(readonly source: PageSource) {}

  get hasRoom(): boolean {
    return this.#viewers.size < VIEWERS_AT_MOST && !this.#closing.signal.aborted
  }

  get hasViewers(): boolean {
    return this.#viewers.size > 0 && !this.#closing.signal.aborted
  }

  /** Takes over a connection to which the head was written. */
  add(response: ServerResponse): void {
    this.#viewers.add(response)
    response.on('close', () => this.#viewers.delete(response))
    response.on('error', () => this.#viewers.delete(response))
    // The first event may take a while.
    response.write('retry: 3000\n\n')
    if (this.#sent.size > 0) this.#tell([response], this.#sent)
    this.#begin()
  }

  /** Ends every connection. */
  close(): void {
    this.#closing.abort()
    for (const viewer of this.#viewers) viewer.end()
  }

  #begin(): void {
    if (this.#isTurning || !this.hasViewers) return
    this.#isTurning = true
    this.#turn()
      // Whatever a page cannot show, WAL goes on: who looks connects again, or loads the page and is told.
      .catch(() => {
        for (const viewer of this.#viewers) viewer.destroy()
        this.#viewers.clear()
      })
      .finally(() => {
        this.#isTurning = false
        this.#sent = new Map()
        // Somebody may have come just then.
        this.#begin()
      })
  }

  async #turn(): Promise<void> {
    const { signal } = this.#closing
    while (this.hasViewers) {
      const sections = pageSections(await this.source.read())
      const changed = new Map([...sections].filter(([id, text]) => this.#sent.get(id) !== text))
      this.#sent = sections
      // An empty one says that the worker is there.
      this.#tell([...this.#viewers], changed)
      await delay(EVERY_MS, undefined, { signal, ref: false }).catch(() => undefined)
    }
  }

  #tell(viewers: readonly ServerResponse[], sections: ReadonlyMap<string, string>): void {
    const event = `data: ${JSON.stringify({ edition: pageEdition, sections: Object.fromEntries(sections) })}\n\n`
    for (const viewer of viewers) {
      if (viewer.writableLength > UNREAD_AT_MOST) viewer.destroy()
      else viewer.write(event)
    }
  }
}
