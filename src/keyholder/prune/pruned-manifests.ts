import { z } from 'zod'
import { parseManifestName, type Home } from '../../box/key-names.js'
import type { Archive, StoredObject } from '../archive.js'
import { plansPrefix } from './prune-plan.js'

const Closing = z.object({ postbox_prune_closed: z.literal(1), manifests: z.array(z.string()) })
const READ_AT_ONCE = 16

/**
 * The manifests that prune deleted in one life of a server: what is missing and should be.
 *
 * Nothing is asked of the archive before something is missing, and then the newest prunes come first, until it is found: the
 * archive keeps all that ever were.
 */
export class PrunedManifests {
  readonly #marks = new Set<string>()
  /** closings that were not read yet, the newest first; null: not listed yet */
  #unread: StoredObject[] | null = null

  constructor(
    readonly archive: Archive,
    readonly home: Home,
  ) {}

  /** Those of these marks that no prune has deleted. */
  async unexplained(marks: Iterable<string>): Promise<Set<string>> {
    const unknown = new Set([...marks].filter((mark) => !this.#marks.has(mark)))
    while (unknown.size > 0) {
      this.#unread ??= await this.#list()
      const batch = this.#unread.splice(0, READ_AT_ONCE)
      if (batch.length === 0) break
      for (const content of await Promise.all(batch.map((object) => this.archive.read(object)))) {
        for (const mark of marksIn(content)) {
          this.#marks.add(mark)
          unknown.delete(mark)
        }
      }
    }
    return unknown
  }

  async #list(): Promise<StoredObject[]> {
    const closings: StoredObject[] = []
    for await (const object of this.archive.list(plansPrefix(this.home))) {
      if (object.key.endsWith('.closed.json')) closings.push(object)
    }
    return closings.reverse()
  }
}

/** What cannot be read explains nothing. */
function marksIn(content: Buffer): string[] {
  try {
    const { manifests } = Closing.parse(JSON.parse(content.toString('utf8')))
    return manifests.flatMap((key) => parseManifestName(key.split('/').at(-1)!) ?? [])
  } catch {
    return []
  }
}
