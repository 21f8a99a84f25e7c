import { parseTailKey, type Home, type Previous } from '../../box/key-names.js'
import type { Lsn } from '../../wal/lsn.js'
import { parseSegmentName } from '../../wal/segment.js'
import type { Archive, StoredObject } from '../archive.js'
import { walSegments, type SegmentContents } from '../stored-wal.js'

export interface PlacedTail {
  object: StoredObject
  from: Lsn
  to: Lsn
  previous: Previous
  mark: string
}

/** The tails of one segment, and what is stored of it whole. */
export interface TailGroup {
  timeline: number
  name: string
  start: Lsn
  /** in the order of `from`, then of time */
  tails: PlacedTail[]
  contents: SegmentContents
}

/** So many are looked up at once: that costs a request or two for all of them. */
const GROUPS = 500
const TAILS = 20_000

/**
 * Puts the tails of a listing together, segment by segment. What is stored of a segment whole is asked for after its tails
 * were listed, so that one which has just become whole is no gap.
 */
export class TailGroups {
  #groups: TailGroup[] = []
  #tails = 0

  constructor(
    readonly archive: Archive,
    readonly home: Home,
    readonly segmentBytes: number,
    readonly onGroup: (group: TailGroup) => Promise<void>,
  ) {}

  /** Takes the next tail of the listing. False: it lies in no segment of this server's. */
  async see(object: StoredObject): Promise<boolean> {
    const tail = parseTailKey(object.key)
    const start = tail && startOf(tail.name, this.segmentBytes)
    if (!tail || start === null) return false
    const { name, from, to, previous, sha12: mark } = tail
    if (from < start || to <= from || to > start + BigInt(this.segmentBytes)) return false
    const timeline = Number.parseInt(name.slice(0, 8), 16)
    if (this.#groups.at(-1)?.name !== name) {
      const isFull = this.#groups.length >= GROUPS || this.#tails >= TAILS
      if (isFull || (this.#groups[0] && this.#groups[0].timeline !== timeline)) await this.end()
      this.#groups.push({ timeline, name, start, tails: [], contents: [] })
    }
    this.#groups.at(-1)!.tails.push({ object, from, to, previous, mark })
    this.#tails += 1
    return true
  }

  /** There are no more, or none for now. */
  async end(): Promise<void> {
    const groups = this.#groups.splice(0)
    this.#tails = 0
    const [first, last] = [groups[0], groups.at(-1)]
    if (!first || !last) return
    const byName = new Map(groups.map((group) => [group.name, group]))
    for await (const contents of walSegments(this.archive, this.home, first.timeline, first.name)) {
      const { name } = contents[0]!
      if (name > last.name) break
      const group = byName.get(name)
      if (group) group.contents = contents
    }
    const at = ({ object }: PlacedTail) => object.storedAt.getTime()
    for (const group of groups) {
      group.tails.sort((a, b) => (a.from === b.from ? at(a) - at(b) : a.from < b.from ? -1 : 1))
      await this.onGroup(group)
    }
  }
}

/** Those of a group that no whole segment stands in for: of a server that wrote other bytes, or of an unfinished one. */
export function uncovered({ tails, contents }: TailGroup): PlacedTail[] {
  const covers = (previous: Previous) =>
    contents.some((one) => previous === null || one.previous === null || one.previous === previous)
  return tails.filter(({ previous }) => !covers(previous))
}

/** A name that fits another segment size is none of this server's. */
function startOf(name: string, segmentBytes: number): Lsn | null {
  try {
    return parseSegmentName(name, segmentBytes).start
  } catch {
    return null
  }
}
