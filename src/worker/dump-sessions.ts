import type { Socket } from 'node:net'
import type { Catalog } from '../catalog/catalog.js'
import { endClient } from '../catalog/end-client.js'
import { lockAtOnce, openDumpSession, type DumpClient, type DumpSessionOptions } from '../source/dump-session.js'
import type { Slice } from './dump-plan.js'

/**
 * The sessions of one dump. The first one has the snapshot and locks every table; the others take part in it.
 *
 * When `signal` is aborted all end at once, and their processes on the server too: the snapshot holds back vacuum.
 */
export class DumpSessions {
  readonly #open: DumpClient[] = []
  #ending: Promise<void> = Promise.resolve()

  constructor(
    readonly options: Omit<DumpSessionOptions, 'snapshot'>,
    readonly catalog: Catalog,
    readonly signal: AbortSignal,
  ) {
    signal.addEventListener('abort', this.#end, { once: true })
  }

  async open(snapshot: string | null): Promise<DumpClient> {
    this.signal.throwIfAborted()
    const session = await openDumpSession({ ...this.options, snapshot })
    this.#open.push(session)
    this.signal.throwIfAborted()
    return session
  }

  /**
   * Copies all slices over `connections` sessions, `first` among them. A table that others cannot lock at once is left
   * to `first`, which has its lock.
   */
  async copy(
    first: DumpClient,
    snapshot: string,
    slices: Slice[],
    connections: number,
    copySlice: (client: DumpClient, slice: Slice) => Promise<void>,
  ): Promise<void> {
    const left: Slice[] = []
    const others = Array.from({ length: Math.min(connections, slices.length) - 1 }, async () => {
      const client = await this.open(snapshot)
      const locked = new Set<number>()
      for (let slice = slices.shift(); slice; slice = slices.shift()) {
        const { oid } = slice.table
        if (!locked.has(oid) && !(await lockAtOnce(client, slice.table))) {
          left.push(slice)
          continue
        }
        locked.add(oid)
        await copySlice(client, slice)
      }
    })
    const own = async () => {
      for (let slice = slices.shift(); slice; slice = slices.shift()) await copySlice(first, slice)
    }
    await Promise.all([own(), ...others])
    for (const slice of left) await copySlice(first, slice)
  }

  /** Ends all sessions, in their own time unless the signal was aborted. */
  async close(): Promise<void> {
    this.signal.removeEventListener('abort', this.#end)
    await Promise.all([this.#ending, ...this.#open.map((session) => endClient(session).catch(() => undefined))])
    // One that was about to begin when the others were ended.
    if (this.signal.aborted) await this.#endProcesses()
  }

  readonly #end = (): void => {
    for (const session of this.#open) {
      ;(session as unknown as { connection: { stream: Socket } }).connection.stream.destroy()
    }
    // A process that sends nothing for a while would not notice; nor would those of pg_dump.
    this.#ending = this.#endProcesses()
  }

  async #endProcesses(): Promise<void> {
    await this.catalog.server.endProcesses(this.options.applicationName).catch(() => undefined)
  }
}
