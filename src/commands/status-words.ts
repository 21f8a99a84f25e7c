import { minute, moment } from '../html/moment.js'
import type { StatusItem, StatusLife, StatusWindow } from '../keyholder/fleet/status-report.js'
import { formatAge } from '../units.js'
import { roundBytes } from './round-bytes.js'

export { minute, moment }

/** Whether gaps were looked for in a window. */
export function checkedInWords({ checked, checked_to_at }: StatusWindow): string {
  if (checked === 'no') return 'not looked through for gaps'
  return checked_to_at === null ? 'without a gap' : `without a gap as of ${moment(checked_to_at)}`
}

/** A base backup or dump in a line. */
export function itemInWords(kind: 'base backup' | 'dump', item: StatusItem): string {
  const { id, label, database, at, state, stored_bytes, duration_seconds } = item
  const what = database === null ? kind : `${kind} of ${database}`
  const named = label === null ? '' : ` “${label}”`
  const took = duration_seconds === null ? '' : `, took ${formatAge(duration_seconds)}`
  const size = state === 'usable' || state === 'unusable' ? `, ${roundBytes(stored_bytes)}` : ''
  const why = {
    usable: '',
    unusable: '; WAL that it needs is missing',
    incomplete: '; not finished',
    damaged: '; damaged',
  }
  return `${what}${named} of ${moment(at)}${took}${size}${why[state]} (${id})`
}

/** What the timeline of a life shows. */
export function lifeInWords({ server, window, windows, base_backups, dumps, last_drill }: StatusLife): string {
  const count = (items: readonly unknown[], one: string) => `${items.length} ${one}${items.length === 1 ? '' : 's'}`
  const end = window ? `restorable from ${moment(window.from_at)} to ${moment(window.to_at)}` : 'no window that is open'
  const more = windows.length > 1 ? `, ${windows.length} windows` : ''
  const drill = last_drill
    ? `, last drill ${last_drill.ok ? 'good' : 'failed'} on ${moment(last_drill.finished_at)}`
    : ''
  return `${server}: ${end}${more}; ${count(base_backups, 'base backup')}, ${count(dumps, 'dump')}${drill}`
}
