import { formatLsn, parseLsn } from '../../wal/lsn.js'
import { segmentStart } from '../../wal/segment.js'
import type { ListedHome, Summaries } from '../list-server.js'
import { noHistory } from '../list-timelines.js'
import type { WalMap } from '../wal-map.js'
import type { TailLoss } from './join-tails.js'
import { damageOf, lost, odd, type Problem } from './problem.js'
import { rate } from './rated-backup.js'
import { Windows, type Hole, type UnfinishedSegment } from './wal-holes.js'

/** What is wrong with the WAL of one life, by names, histories, and the tails of what is not whole. */
export async function walProblems(
  wal: WalMap,
  { committed, pruned }: Summaries,
  listed: ListedHome,
  seen: { timelines: ReadonlySet<number>; unfinished: readonly UnfinishedSegment[]; losses: readonly TailLoss[] },
  now: Date,
): Promise<Problem[]> {
  const backups = rate(committed, listed.backups)
  const windows = await Windows.of(wal, backups, seen.unfinished, pruned)
  const holes = await windows.open(now)
  const problems: Problem[] = []
  const told = new Set<Hole>()
  for (const gap of listed.wal_gaps) {
    const open = holes.filter((hole) => isIn(hole, gap, wal.segmentBytes))
    for (const hole of open) told.add(hole)
    // Before a backup that goes on behind it, it is history; else the times behind it are lost.
    const isLost = open.some(({ isFresh }) => !isFresh) || backups.every(({ isRestorable }) => !isRestorable)
    const say = isLost ? lost : odd
    problems.push(say(missing(gap.timeline, gap.from_lsn, gap.to_lsn)))
  }
  for (const hole of holes) if (!told.has(hole)) problems.push(problemOf(hole))
  for (const { timeline, from, to, problems: said } of seen.losses) {
    const say = (await windows.isNeeded(timeline, from, to)) ? lost : odd
    problems.push(...said.map((one) => say(one)))
  }
  return [...problems, ...(await historyProblems(wal, seen.timelines))]
}

/** Without its history no WAL of a timeline can be recovered, and with a damaged one nothing at all on the way to it. */
async function historyProblems(wal: WalMap, timelines: ReadonlySet<number>): Promise<Problem[]> {
  const problems: Problem[] = []
  for (const timeline of [...timelines].sort((a, b) => a - b)) {
    if (timeline === 1) continue
    const damaged = await damageOf(wal.histories.of(timeline))
    if (damaged !== null) problems.push(lost(damaged))
    else if ((await wal.histories.of(timeline)) === null) problems.push(lost(noHistory(timeline)))
  }
  return problems
}

function isIn(hole: Hole, gap: ListedHome['wal_gaps'][0], segmentBytes: number): boolean {
  const [from, to] = [parseLsn(gap.from_lsn), parseLsn(gap.to_lsn)]
  return hole.timeline === gap.timeline && segmentStart(from, segmentBytes) <= hole.from && hole.from < to
}

function problemOf({ timeline, from, to, isFresh }: Hole): Problem {
  const at = formatLsn(from)
  if (from === to) {
    return lost(
      `WAL of timeline ${timeline} at ${at} goes on from a segment that is not stored: nothing behind is reached`,
    )
  }
  const problem = missing(timeline, at, formatLsn(to))
  return isFresh ? odd(`${problem}, unless it is on its way: verify again in an hour`) : lost(problem)
}

const missing = (timeline: number, from: string, to: string): string =>
  `WAL of timeline ${timeline} is missing from ${from} to ${to}`
