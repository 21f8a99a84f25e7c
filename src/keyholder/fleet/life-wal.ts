import type { Home } from '../../box/key-names.js'
import { formatLsn, type Lsn } from '../../wal/lsn.js'
import type { Archive } from '../archive.js'
import type { BackupPlace } from '../backup-place.js'
import { damageAsNull } from '../damage.js'
import { walTimelines } from '../stored-wal.js'
import { TimelineHistories } from '../timeline-histories.js'
import { findWay, followWay, type Leg, type WalRun } from '../wal-chain.js'
import { segmentExtent, type SegmentExtent } from './segment-extent.js'
import { tailExtent, type TailExtent } from './tail-extent.js'
import { readPage, tailFolder, type PlacedObject } from './wal-folder.js'

/** Stretches of a timeline that are known to be missing, from an earlier look at all of it. */
export type KnownGaps = ReadonlyMap<number, readonly WalRun[]>

/** What one timeline of a server's life holds. */
export interface TimelineExtent {
  timeline: number
  segments: SegmentExtent | null
  tails: TailExtent | null
  /** without a gap, as far as that is known; the last one by tails to its end */
  runs: WalRun[]
  /** the object with the last byte */
  newest: PlacedObject
}

/** How far a backup can be recovered, as far as that can be told without listing all WAL. */
export interface BackupReach {
  end: Lsn
  /** that the way ends on, and whose WAL is reached */
  timeline: number
  way: Leg[]
}

/** All WAL of a server's life, by its ends. */
export class LifeWal {
  private constructor(
    /** ascending */
    readonly timelines: readonly TimelineExtent[],
    readonly segmentBytes: number,
    readonly histories: TimelineHistories,
  ) {}

  /**
   * A few requests for each timeline, however much WAL there is.
   *
   * @param sized whether to take samples for how many bytes there are
   */
  static async look(
    archive: Archive,
    home: Home,
    segmentBytes: number,
    known: KnownGaps,
    sized: boolean,
  ): Promise<LifeWal> {
    const timelines: TimelineExtent[] = []
    for (const timeline of await walTimelines(archive, home)) {
      const segments = await segmentExtent(archive, home, timeline, segmentBytes, sized)
      const tails = await tailExtent(archive, home, timeline, segmentBytes, segments?.to ?? null)
      const extent = extentOf(timeline, segments, tails)
      if (!extent) continue
      await closeByTails(archive, home, extent, segmentBytes)
      if (!segments?.listed) cut(extent.runs, known.get(timeline) ?? [])
      timelines.push(extent)
    }
    return new LifeWal(timelines, segmentBytes, new TimelineHistories(archive, home))
  }

  /** Of the highest timeline: where WAL goes on. */
  get current(): TimelineExtent | null {
    return this.timelines.at(-1) ?? null
  }

  /** Null when not even what the backup itself needs is there. */
  async reach(backup: BackupPlace): Promise<BackupReach | null> {
    const runs = new Map(this.timelines.map((one) => [one.timeline, one.runs]))
    for (const { timeline } of [...this.timelines].reverse()) {
      if (timeline < backup.timeline) break
      const own = timeline === backup.timeline
      const history = own ? null : await this.histories.of(timeline).catch(damageAsNull)
      if (!own && !history) continue
      const way = findWay(backup, timeline, history?.switches ?? [], this.segmentBytes)
      if (!way) continue
      const { end, arrived } = followWay(way, runs)
      if (arrived && end >= backup.stopLsn) return { end, timeline, way }
    }
    return null
  }

  /** Whether every name of WAL on a way was seen, and there is one way to follow. */
  isListed(way: readonly Leg[]): boolean {
    return way.every(({ timeline }) => {
      const segments = this.timelines.find((one) => one.timeline === timeline)?.segments
      return !segments || (segments.listed && segments.partsAt === null)
    })
  }

  /** Where two servers wrote the same WAL, a sentence each, as far as it was seen. */
  get partings(): string[] {
    return this.timelines.flatMap(({ timeline, segments }) => {
      const at = segments?.partsAt ?? null
      return at === null ? [] : [`WAL of timeline ${timeline} is stored in two ways at ${formatLsn(at)}`]
    })
  }
}

function extentOf(timeline: number, segments: SegmentExtent | null, tails: TailExtent | null): TimelineExtent | null {
  const from = segments?.to ?? tails?.oldest.from
  if (from === undefined) return null
  const { end, last } = tails?.reach(from) ?? { end: from, last: null }
  const runs = segments ? segments.runs.map((run) => ({ ...run })) : [{ from, to: from }]
  runs.at(-1)!.to = end
  const newest = last ?? segments?.newest
  return newest ? { timeline, segments, tails, runs, newest } : null
}

/** A segment whose tails are all there is no gap. Gaps are few, and each costs a request for every segment that tails hold. */
async function closeByTails(
  archive: Archive,
  home: Home,
  { timeline, runs }: TimelineExtent,
  segmentBytes: number,
): Promise<void> {
  const folder = tailFolder(home, timeline, segmentBytes)
  for (let at = 0; at + 1 < runs.length;) {
    const [run, next] = [runs[at]!, runs[at + 1]!]
    const { found } = await readPage(archive, folder, run.to - 1n, 1000)
    let end = run.to
    for (const tail of found) if (tail.from <= end && tail.to > end) end = tail.to
    const closed = end >= next.from
    if (closed) runs.splice(at, 2, { from: run.from, to: next.to })
    else at += 1
  }
}

/** Takes what is missing out of runs. */
function cut(runs: WalRun[], gaps: readonly WalRun[]): void {
  for (const gap of gaps) {
    const at = runs.findIndex(({ from, to }) => from < gap.from && gap.to < to)
    if (at < 0) continue
    const { from, to } = runs[at]!
    runs.splice(at, 1, { from, to: gap.from }, { from: gap.to, to })
  }
}
