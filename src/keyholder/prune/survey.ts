import { homePrefix, type Home } from '../../box/key-names.js'
import type { Lsn } from '../../wal/lsn.js'
import { parseTimelineHistory, type TimelineSwitch } from '../../wal/timeline-history.js'
import { damageAsNull } from '../damage.js'
import { asObject, type StoredKey } from '../object-versions.js'
import { findHistories, readHistory } from '../stored-wal.js'
import type { DeletableArchive } from './deletable-archive.js'
import { accountOf } from '../key-account.js'

/** What one listing of a life tells, and the histories of its timelines. Memory does not grow with WAL. */
export interface Survey {
  objects: number
  /** of all versions */
  bytes: number
  /** when anything of its base backups and WAL was last stored; null when there is nothing */
  lastStoredAt: Date | null
  /** when WAL of a timeline was last stored, by timeline, ascending */
  walStoredAt: ReadonlyMap<number, Date>
  /** every history that is stored of a timeline; two where two servers were promoted to it */
  histories: ReadonlyMap<number, readonly (readonly TimelineSwitch[])[]>
  /** timelines whose origin cannot be told */
  unknownTimelines: readonly number[]
  /** keys that nobody accounts for: some of them, and how many */
  strangers: { keys: string[]; count: number }
}

/** A stretch of one timeline; `to` null: to its end. */
export interface Stretch {
  timeline: number
  from: Lsn
  to: Lsn | null
}

const STRANGERS_SHOWN = 100

export const bytesOf = ({ versions }: StoredKey): number => versions.reduce((sum, { Size = 0 }) => sum + Size, 0)

export async function surveyHome(archive: DeletableArchive, home: Home): Promise<Survey> {
  const stored = new Map<number, Date>()
  const strangers: Survey['strangers'] = { keys: [], count: 0 }
  const total = { objects: 0, bytes: 0, lastStoredAt: null as Date | null }
  for await (const key of archive.keys(homePrefix(home))) {
    const object = asObject(key)
    total.bytes += bytesOf(key)
    if (!object) continue
    total.objects += 1
    const account = accountOf(home, key.key)
    if (!account) {
      strangers.count += 1
      if (strangers.keys.length < STRANGERS_SHOWN) strangers.keys.push(key.key)
      continue
    }
    const { storedAt } = object
    if (account.kind !== 'dump') total.lastStoredAt = later(total.lastStoredAt, storedAt)
    if (account.kind === 'segment' || account.kind === 'tail') {
      stored.set(account.timeline, later(stored.get(account.timeline) ?? null, storedAt))
    }
  }
  const walStoredAt = new Map([...stored].sort(([a], [b]) => a - b))
  const { histories, unknownTimelines } = await readHistories(archive, home, [...walStoredAt.keys()])
  return { ...total, walStoredAt, histories, unknownTimelines, strangers }
}

const later = (a: Date | null, b: Date): Date => (a === null || b > a ? b : a)

async function readHistories(archive: DeletableArchive, home: Home, timelines: readonly number[]) {
  const histories = new Map<number, TimelineSwitch[][]>()
  const unknownTimelines: number[] = []
  for (const timeline of timelines.filter((one) => one > 1)) {
    const { readable, damaged } = await historiesOf(archive, home, timeline)
    if (readable.length === 0 || damaged) unknownTimelines.push(timeline)
    histories.set(timeline, readable)
  }
  return { histories, unknownTimelines }
}

async function historiesOf(archive: DeletableArchive, home: Home, timeline: number) {
  const readable: TimelineSwitch[][] = []
  let damaged = false
  for (const stored of await findHistories(archive, home, timeline)) {
    try {
      readable.push(parseTimelineHistory((await readHistory(archive, stored)).toString('utf8')))
    } catch (thrown) {
      damageAsNull(thrown)
      damaged = true
    }
  }
  return { readable, damaged }
}
