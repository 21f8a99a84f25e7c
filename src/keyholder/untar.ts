import { join } from 'node:path'
import { PostboxError } from '../errors.js'
import { TarReader, type TarEvent } from './tar-reader.js'
import type { FileWriter, WritingFile } from './write-files.js'

/** What becomes of an entry: written at another path under the root, or left out. */
export type Placement = (path: string) => string | null

const LINK = /^pg_tblspc\/\d+$/

/**
 * Unpacks one archive of a backup into a directory.
 *
 * Links of tablespaces are left to the caller, so that nothing in an archive can be written through them; any other
 * link, and any path that leads out of `root`, is refused (`restore_failed`).
 */
export class Untar {
  /** paths that were seen, before placement; of the few that a restore asks for */
  readonly seen = new Set<string>()
  readonly #reader = new TarReader()
  #file: WritingFile | null = null

  constructor(
    readonly root: string,
    readonly writer: FileWriter,
    /** names the archive in messages: `base`, or a tablespace's oid */
    readonly name: string,
    readonly placement: Placement = (path) => path,
    readonly watched: readonly string[] = [],
  ) {}

  /** Takes the next piece, which must not change until the writer's finish(). */
  async push(piece: Buffer): Promise<void> {
    const events = this.#reader.push(piece)
    for (;;) {
      const next = this.#asOurs(() => events.next())
      if (next.done) return
      await this.#take(next.value)
    }
  }

  /** Says that nothing more comes. */
  finish(): void {
    this.#asOurs(() => {
      this.#reader.finish()
    })
  }

  async #take(event: TarEvent): Promise<void> {
    switch (event.kind) {
      case 'data':
        this.#file?.write(event.content)
        return
      case 'end':
        this.#file?.end()
        this.#file = null
        return this.writer.room()
      case 'link':
        if (!LINK.test(event.path)) throw this.#wrong(`holds a link, ${event.path}`)
        return
    }
    const path = this.#checkPath(event.path)
    if (this.watched.includes(path)) this.seen.add(path)
    const placed = this.placement(path)
    if (placed === null) return
    if (event.kind === 'directory') return this.writer.directory(join(this.root, placed), event.mode)
    this.#file = this.writer.file(join(this.root, placed), event.mode)
  }

  #checkPath(path: string): string {
    const parts = path
      .replace(/^(\.\/)+/, '')
      .replace(/\/+$/, '')
      .split('/')
    if (parts.some((part) => part === '' || part === '.' || part === '..')) {
      throw this.#wrong(`holds the path "${path}", which leads elsewhere`)
    }
    return parts.join('/')
  }

  #asOurs<T>(read: () => T): T {
    try {
      return read()
    } catch (cause) {
      if (cause instanceof RangeError) throw this.#wrong(`cannot be unpacked: ${cause.message}`, cause)
      throw cause
    }
  }

  #wrong(what: string, cause?: unknown): PostboxError {
    const hint = 'The backup was not written by Postbox, or its format is newer. Restore another one.'
    return new PostboxError('restore_failed', `the archive ${this.name} ${what}`, hint, { cause })
  }
}
