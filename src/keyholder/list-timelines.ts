import { formatLsn, type Lsn } from '../wal/lsn.js'
import { damageAsNull } from './damage.js'
import type { TimelineHistories } from './timeline-histories.js'
import type { WalMap } from './wal-map.js'

/** A timeline with WAL, or that one with WAL came from, as `postbox list --json` shows it. */
export interface ListedTimeline {
  timeline: number
  /** the timeline that it left, and where; null for the first, or when its history cannot be read */
  parent: number | null
  switch_lsn: string | null
  /** of its whole segments; null while there are none */
  from_lsn: string | null
  to_lsn: string | null
}

/** A stretch of WAL that two servers wrote, each in its own way. */
export interface Parting {
  timeline: number
  from_lsn: string
  to_lsn: string
  /** of its first segment or its history, what was stored first in front: any of them can be followed */
  keys: string[]
}

/** A timeline as it is listed, by where its whole segments begin and end. */
export async function listedTimeline(
  histories: TimelineHistories,
  timeline: number,
  whole: { from: Lsn; to: Lsn } | null,
): Promise<ListedTimeline> {
  // Why it cannot be read is said elsewhere.
  const history = timeline === 1 ? null : await histories.of(timeline).catch(damageAsNull)
  const left = history?.switches.at(-1)
  return {
    timeline,
    parent: left?.timeline ?? null,
    switch_lsn: left ? formatLsn(left.switchLsn) : null,
    from_lsn: whole && formatLsn(whole.from),
    to_lsn: whole && formatLsn(whole.to),
  }
}

/** Timelines, ascending, and where what is stored of one parts in two. */
export async function listTimelines(wal: WalMap): Promise<{ timelines: ListedTimeline[]; partings: Parting[] }> {
  const timelines: ListedTimeline[] = []
  const partings: Parting[] = []
  for (const timeline of await withAncestors(wal.histories, await wal.timelines())) {
    const { runs } = await wal.wal(timeline, 0n)
    const whole = runs.length === 0 ? null : { from: runs[0]!.from, to: runs.at(-1)!.to }
    timelines.push(await listedTimeline(wal.histories, timeline, whole))
    partings.push(...(await partingOfHistory(wal.histories, timeline)), ...(await partingsOf(wal, timeline)))
  }
  return { timelines, partings }
}

/** Where two servers were promoted to one timeline. */
export async function partingOfHistory(histories: TimelineHistories, timeline: number): Promise<Parting[]> {
  const history = timeline === 1 ? null : await histories.of(timeline).catch(damageAsNull)
  const left = history?.switches.at(-1)
  if (!left || history!.keys.length < 2) return []
  const lsn = formatLsn(left.switchLsn)
  return [{ timeline, from_lsn: lsn, to_lsn: lsn, keys: history!.keys }]
}

/** Whether no history of a timeline is stored. One that is damaged is: that is said elsewhere. */
export async function isOfUnknownOrigin(histories: TimelineHistories, timeline: number): Promise<boolean> {
  if (timeline === 1) return false
  const isStored = await histories.of(timeline).then((history) => history !== null, damageAsNull)
  return isStored === false
}

export const noHistory = (timeline: number): string => `timeline ${timeline} has WAL, but its history is not stored`

/** A timeline that was left in the segment in which it began has no WAL of its own. */
export async function withAncestors(histories: TimelineHistories, stored: readonly number[]): Promise<number[]> {
  const timelines = new Set(stored)
  for (const timeline of stored) {
    const history = timeline === 1 ? null : await histories.of(timeline).catch(damageAsNull)
    for (const ancestor of history?.switches ?? []) timelines.add(ancestor.timeline)
  }
  return [...timelines].sort((a, b) => a - b)
}

async function partingsOf(wal: WalMap, timeline: number): Promise<Parting[]> {
  const found: { from: Lsn; to: Lsn; keys: string[] }[] = []
  for (const { start, contents } of (await wal.wal(timeline, 0n)).forked.values()) {
    if (contents.length < 2) continue
    const end = start + BigInt(wal.segmentBytes)
    const last = found.at(-1)
    if (last?.to === start) last.to = end
    else found.push({ from: start, to: end, keys: contents.map(({ object }) => object.key) })
  }
  return found.map(({ from, to, keys }) => ({ timeline, from_lsn: formatLsn(from), to_lsn: formatLsn(to), keys }))
}
