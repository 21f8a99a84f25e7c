import { walPrefix } from '../../box/key-names.js'
import type { RebuiltItem } from '../../catalog/rebuild-script.js'
import { PostboxError } from '../../errors.js'
import { formatLsn, type Lsn } from '../../wal/lsn.js'
import { parseTimelineHistory } from '../../wal/timeline-history.js'
import type { Archive } from '../archive.js'
import type { Home } from '../../box/key-names.js'
import { accountOf } from '../key-account.js'
import { findHistories, readHistory, type StoredHistory } from '../stored-wal.js'
import { canBeRow } from './can-be-row.js'

/** Histories of a life, the one that counts of each timeline, and where they say that timelines were left. */
export interface HistoryRows {
  rows: RebuiltItem[]
  leftAt: { timeline: number; lsn: Lsn }[]
}

/** There are as many as timelines: few. */
export async function historyRows(archive: Archive, home: Home, note: (text: string) => void): Promise<HistoryRows> {
  const found: HistoryRows = { rows: [], leftAt: [] }
  for (const timeline of await timelinesWithHistory(archive, home)) {
    const [first, ...others] = await findHistories(archive, home, timeline)
    for (const { object } of others)
      note(`suspicious: ${object.key} is a second history: ${first!.object.key} is taken`)
    if (!first) continue
    const row = await rowOf(archive, first, found.leftAt, note)
    if (row) found.rows.push(row)
  }
  return found
}

/** Histories stand in front of the folders of segments, each of which is passed over in one go. */
async function timelinesWithHistory(archive: Archive, home: Home): Promise<number[]> {
  const timelines = new Set<number>()
  const prefix = walPrefix(home)
  for (let after = prefix; ;) {
    let folder: string | null = null
    for await (const { key } of archive.list(prefix, after)) {
      const account = accountOf(home, key)
      if (account?.kind === 'history') timelines.add(account.timeline)
      folder = account?.kind === 'segment' ? key.slice(0, prefix.length + 8) : null
      if (folder !== null) break
    }
    if (folder === null) return [...timelines].sort((a, b) => a - b)
    // Behind all that is in it.
    after = `${folder}0`
  }
}

async function rowOf(
  archive: Archive,
  stored: StoredHistory,
  leftAt: HistoryRows['leftAt'],
  note: (text: string) => void,
): Promise<RebuiltItem | null> {
  const { timeline, object } = stored
  try {
    const history = (await readHistory(archive, stored)).toString('utf8')
    const switches = parseTimelineHistory(history)
    const last = switches.at(-1)
    const item = {
      timeline,
      parent_timeline: last?.timeline ?? 0,
      switch_lsn: formatLsn(last?.switchLsn ?? 0n),
      history,
      key: object.key,
      stored_at: object.storedAt.toISOString(),
    }
    const isHistory = last !== undefined && last.timeline >= 1 && last.timeline < timeline && timeline <= 0x7fffffff
    if (isHistory && last.switchLsn < 1n << 64n && canBeRow(item)) {
      leftAt.push(...switches.map((one) => ({ timeline: one.timeline, lsn: one.switchLsn })))
      return { kind: 'timeline', item }
    }
    note(`suspicious: ${object.key} is not the history of its timeline: left out`)
  } catch (thrown) {
    if (!(thrown instanceof PostboxError) || thrown.retryable) throw thrown
    note(`suspicious: ${object.key} is left out: ${thrown.message}`)
  }
  return null
}
