import { PostboxError } from '../errors.js'
import { parseLsn, type Lsn } from './lsn.js'

/** One line of a `.history` file: `timeline` was left at `switchLsn`. */
export interface TimelineSwitch {
  timeline: number
  switchLsn: Lsn
}

/** Ancestors of a timeline, oldest first, as its `.history` file lists them. Throws `wal_invalid`. */
export function parseTimelineHistory(content: string): TimelineSwitch[] {
  const switches: TimelineSwitch[] = []
  for (const line of content.split('\n')) {
    const text = line.replace(/#.*/, '').trim()
    if (text === '') continue
    const match = /^(\d{1,10})\s+([0-9A-Fa-f]{1,8}\/[0-9A-Fa-f]{1,8})(\s|$)/.exec(text)
    const timeline = Number(match?.[1])
    // As Postgres, which takes no history in which they do not ascend.
    if (!match || timeline > 0xffff_ffff || timeline <= (switches.at(-1)?.timeline ?? 0)) {
      const shown = JSON.stringify(text.slice(0, 100))
      throw new PostboxError('wal_invalid', `a timeline history holds the line ${shown}`, 'The file is damaged.')
    }
    switches.push({ timeline, switchLsn: parseLsn(match[2]!) })
  }
  return switches
}
