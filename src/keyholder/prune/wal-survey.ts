import { parseSegmentKey, parseTailKey, tailsPrefix, walPrefix, type Home } from '../../box/key-names.js'
import { PostboxError } from '../../errors.js'
import type { Lsn } from '../../wal/lsn.js'
import { parseTimelineHistory, type TimelineSwitch } from '../../wal/timeline-history.js'
import type { Archive } from '../archive.js'
import { findHistories, readHistory } from '../stored-wal.js'

/** What is known of a life's WAL from a listing and the histories of its timelines. */
export interface WalSurvey {
  /** when WAL of a timeline was last stored, by timeline, ascending */
  lastStoredAt: ReadonlyMap<number, Date>
  /** every history that is stored of a timeline; two where two servers were promoted to it */
  histories: ReadonlyMap<number, readonly (readonly TimelineSwitch[])[]>
  /** timelines whose origin cannot be told */
  unknown: readonly number[]
}

export async function surveyWal(archive: Archive, home: Home): Promise<WalSurvey> {
  const lastStoredAt = new Map<number, Date>()
  for (const prefix of [walPrefix(home), tailsPrefix(home)]) {
    for await (const { key, storedAt } of archive.list(prefix)) {
      const name = (parseSegmentKey(key) ?? parseTailKey(key))?.name
      if (name === undefined) continue
      const timeline = Number.parseInt(name.slice(0, 8), 16)
      const known = lastStoredAt.get(timeline)
      if (!known || known < storedAt) lastStoredAt.set(timeline, storedAt)
    }
  }
  const timelines = [...lastStoredAt.keys()].sort((a, b) => a - b)
  const histories = new Map<number, TimelineSwitch[][]>()
  const unknown: number[] = []
  for (const timeline of timelines.filter((one) => one > 1)) {
    const read = await historiesOf(archive, home, timeline)
    if (read.readable.length === 0 || read.damaged) unknown.push(timeline)
    histories.set(timeline, read.readable)
  }
  return { lastStoredAt: new Map(timelines.map((one) => [one, lastStoredAt.get(one)!])), histories, unknown }
}

async function historiesOf(archive: Archive, home: Home, timeline: number) {
  const readable: TimelineSwitch[][] = []
  let damaged = false
  for (const stored of await findHistories(archive, home, timeline)) {
    try {
      readable.push(parseTimelineHistory((await readHistory(archive, stored)).toString('utf8')))
    } catch (thrown) {
      const isDamage =
        thrown instanceof PostboxError &&
        ['object_damaged', 'object_missing', 'wal_invalid', 'bad_argument'].includes(thrown.code)
      if (!isDamage) throw thrown
      damaged = true
    }
  }
  return { readable, damaged }
}

/** A stretch of one timeline; `to` null: to its end. */
export interface Stretch {
  timeline: number
  from: Lsn
  to: Lsn | null
}
