import type { Archive, StoredObject } from '../archive.js'

/** Larger objects take longer than the way to the archive and back, and their readers ask ahead by themselves. */
const SMALL_BYTES = 256 * 1024
const AHEAD = 16

/**
 * An archive whose small objects are read before they are asked for, so that thousands of small tables do not wait for an
 * answer each.
 *
 * `order`: about that in which they will be asked for.
 */
export function readingAhead(archive: Archive, order: Iterable<StoredObject>): Archive {
  const coming = order[Symbol.iterator]()
  const reading = new Map<StoredObject, Promise<Buffer>>()
  const begun = new Set<StoredObject>()
  const goOn = () => {
    while (reading.size < AHEAD) {
      const next = coming.next()
      if (next.done) return
      const object = next.value
      if (object.bytes > SMALL_BYTES || begun.has(object)) continue
      const content = archive.read(object)
      // Whoever asks for it is told.
      content.catch(() => undefined)
      reading.set(object, content)
      begun.add(object)
    }
  }
  return {
    ...archive,
    read: async (object, into) => {
      goOn()
      const content = reading.get(object)
      reading.delete(object)
      begun.add(object)
      return content ?? archive.read(object, into)
    },
  }
}
