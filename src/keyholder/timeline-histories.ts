import { parseHistoryKey, type Home } from '../box/key-names.js'
import type { Lsn } from '../wal/lsn.js'
import { segmentStart } from '../wal/segment.js'
import { parseTimelineHistory, type TimelineSwitch } from '../wal/timeline-history.js'
import type { Archive } from './archive.js'
import { damageAsNull } from './damage.js'
import { findHistories, readHistory, type StoredHistory } from './stored-wal.js'
import type { TimelineStart } from './wal-path.js'

/** Where a timeline came from, by the one of its histories that is followed. */
export interface TimelineHistory {
  /** ancestors, oldest first */
  switches: TimelineSwitch[]
  /** mark of the history */
  mark: string
  /** keys of all that are stored, the one that is followed in front; more than one when two servers were promoted to it */
  keys: string[]
}

/** The histories of a server's timelines, each asked for once. */
export class TimelineHistories {
  readonly #known = new Map<number, Promise<TimelineHistory | null>>()

  /** @param wanted the history to follow of one timeline, instead of the first that was stored */
  constructor(
    readonly archive: Archive,
    readonly home: Home,
    readonly wanted: { timeline: number; mark: string } | null = null,
  ) {}

  /** Null when none is stored. Throws `object_damaged` and `wal_invalid`. */
  of(timeline: number): Promise<TimelineHistory | null> {
    let known = this.#known.get(timeline)
    if (!known) this.#known.set(timeline, (known = this.#read(timeline)))
    return known
  }

  /** How each timeline on the way to `target` began, as far as its history can be read. */
  async starts(target: number, segmentBytes: number): Promise<Map<number, TimelineStart>> {
    const starts = new Map<number, TimelineStart>()
    const switches = (await this.of(target).catch(damageAsNull))?.switches ?? []
    for (const [index, { switchLsn }] of switches.entries()) {
      const timeline = switches[index + 1]?.timeline ?? target
      const history = await this.#asIn(timeline, switches.slice(0, index + 1)).catch(damageAsNull)
      const start = segmentStart(switchLsn, segmentBytes)
      const parent = switches.find((one) => segmentStart(one.switchLsn, segmentBytes) >= start)!.timeline
      if (!history) continue
      const { mark: historyMark } = history
      const stored = (await this.of(timeline).catch(damageAsNull))?.keys ?? []
      const otherMarks = stored.flatMap((key) => parseHistoryKey(key)?.sha12 ?? []).filter((one) => one !== historyMark)
      starts.set(timeline, { historyMark, otherMarks, start, parent })
    }
    return starts
  }

  async #read(timeline: number): Promise<TimelineHistory | null> {
    const stored = await findHistories(this.archive, this.home, timeline)
    const asked = this.wanted?.timeline === timeline ? this.wanted.mark : null
    const followed = asked === null ? stored[0] : stored.find(({ mark }) => mark === asked)
    if (!followed) return null
    const others = stored.filter((one) => one !== followed)
    return {
      switches: await this.#switches(followed),
      mark: followed.mark,
      keys: [followed, ...others].map(({ object }) => object.key),
    }
  }

  /** The history of an ancestor that says of it what its descendant's history says. */
  async #asIn(timeline: number, switches: readonly TimelineSwitch[]): Promise<{ mark: string } | null> {
    const own = await this.of(timeline)
    if (!own || own.keys.length === 1 || isSame(own.switches, switches)) return own
    for (const stored of await findHistories(this.archive, this.home, timeline)) {
      if (isSame(await this.#switches(stored), switches)) return stored
    }
    return own
  }

  async #switches(stored: StoredHistory): Promise<TimelineSwitch[]> {
    return parseTimelineHistory((await readHistory(this.archive, stored)).toString('utf8'))
  }
}

function isSame(a: readonly TimelineSwitch[], b: readonly TimelineSwitch[]): boolean {
  const text = (switches: readonly TimelineSwitch[]) =>
    switches.map(({ timeline, switchLsn }: { timeline: number; switchLsn: Lsn }) => `${timeline}@${switchLsn}`).join()
  return text(a) === text(b)
}
