import { PostboxError } from '../errors.js'
import { parseLsn, type Lsn } from './lsn.js'

/** One line of a `.history` file: `timeline` was left at `switchLsn`. */
export interface TimelineSwitch {
  timeline: number
  switchLsn: Lsn
}

/** Ancestors of a timeline, oldest first, as its `.history` file lists them. */
export function parseTimelineHistory(content: string): TimelineSwitch[] {
  const switches: TimelineSwitch[] = []
  for (const line of content.split('\n')) {
    const text = line.replace(/#.*/, '').trim()
    if (text === '') continue
    const match = /^(\d+)\s+([0-9A-Fa-f]+\/[0-9A-Fa-f]+)/.exec(text)
    if (!match) {
      throw new PostboxError('wal_invalid', `a timeline history holds the line "${text}"`, 'The file is damaged.')
    }
    switches.push({ timeline: Number(match[1]), switchLsn: parseLsn(match[2]!) })
  }
  return switches
}
