import { html, type Html } from '../html/html.js'
import type { TimeRange } from '../html/time-axis.js'
import { legendSign, timeline, timelineAxis, type Mark, type Stretch } from '../html/timeline.js'
import type { StatusItem, StatusLife, StatusReport, StatusWindow } from '../keyholder/fleet/status-report.js'
import { checkedInWords, itemInWords, lifeInWords, moment } from './status-words.js'

/** Windows, backups and drills of every life, over the same time. */
export function statusTimelines({ servers, created_at }: StatusReport): Html {
  const stored = servers.filter(({ system_identifier }) => system_identifier !== null)
  const range = rangeOf(stored, Date.parse(created_at))
  return html`<h2>What can be restored</h2>
    ${LEGEND}
    <div class="lanes">
      <div class="lane axis-lane"><span class="quiet">UTC</span>${timelineAxis(range)}</div>
      ${stored.map((life) => lane(range, life))}
    </div>`
}

function lane(range: TimeRange, life: StatusLife): Html {
  const { server, level, current, system_identifier } = life
  const badge = current ? (level === 'ok' ? 'ok' : level === 'warn' ? 'warning' : 'critical') : 'earlier life'
  return html`<div class="lane">
    <div class="name">
      <span class="server">${server}</span>
      <span
        class="badge ${current ? level : 'old'}"
        ${!current && html` title="system identifier ${system_identifier}"`}
        >${badge}</span
      >
    </div>
    ${timeline(range, lifeInWords(life), stretchesOf(life), marksOf(life))}
  </div> `
}

/** From the oldest thing that a life that goes on has; a little room at both ends. */
function rangeOf(lives: readonly StatusLife[], now: number): TimeRange {
  const begins = lives
    .filter(({ current }) => current)
    .flatMap(({ base_backups, dumps, windows }) => [
      ...[...base_backups, ...dumps].map(({ at }) => Date.parse(at)),
      ...windows.map(({ from_at }) => Date.parse(from_at)),
    ])
  const from = begins.reduce((one, other) => Math.min(one, other), now - 86_400_000)
  const room = (now - from) * 0.015
  return { from: from - room, to: now + room }
}

/** Windows of the timeline that goes on, with what is missing between them; those of others would lie over them. */
function stretchesOf({ windows, window, quiet_since }: StatusLife): Stretch[] {
  const shown = windows.filter(({ timeline: one }) => one === (window ?? windows.at(-1))?.timeline)
  const end = shown.at(-1)
  // WAL goes on, but no base backup can be recovered to there.
  const behindAll: Stretch[] =
    end && !window && quiet_since !== null && quiet_since > end.to_at
      ? [gapBetween(end.to_at, quiet_since, 'no base backup reaches this WAL')]
      : []
  return shown
    .flatMap((one, index): Stretch[] => {
      const next = shown[index + 1]
      const gap = next ? [gapBetween(one.to_at, next.from_at, 'WAL is missing')] : []
      return [...windowOf(one), ...gap]
    })
    .concat(behindAll)
}

function gapBetween(from: string, to: string, why: string): Stretch {
  const title = `nothing can be restored between ${moment(from)} and ${moment(to)}: ${why}`
  return { kind: 'gap', from: Date.parse(from), to: Date.parse(to), title }
}

function windowOf(one: StatusWindow): Stretch[] {
  const [from, to] = [Date.parse(one.from_at), Date.parse(one.to_at)]
  const title = `restorable from ${moment(one.from_at)} to ${moment(one.to_at)}, timeline ${one.timeline}; ${checkedInWords(one)}`
  if (one.checked === 'no') return [{ kind: 'unchecked', from, to, title }]
  const until = one.checked_to_at === null ? to : Math.min(to, Math.max(from, Date.parse(one.checked_to_at)))
  const known: Stretch[] = until > from || until === to ? [{ kind: 'window', from, to: until, title }] : []
  return until < to ? [...known, { kind: 'unchecked', from: until, to, title }] : known
}

function marksOf({ base_backups, dumps, last_drill }: StatusLife): Mark[] {
  const base = (item: StatusItem): Mark => {
    const kind = item.state === 'usable' ? 'base' : 'base-unusable'
    return { kind, at: Date.parse(item.at), title: itemInWords('base backup', item) }
  }
  const marks: Mark[] = [
    ...[...base_backups].reverse().map(base),
    ...[...dumps]
      .reverse()
      .filter(({ state }) => state === 'usable')
      .map((item): Mark => ({ kind: 'dump', at: Date.parse(item.at), title: itemInWords('dump', item) })),
  ]
  if (!last_drill) return marks
  const { finished_at, ok, backup_id } = last_drill
  const title = `drill of ${backup_id} on ${moment(finished_at)}: ${ok ? 'good' : 'failed'}`
  return [...marks, { kind: ok ? 'drill-good' : 'drill-failed', at: Date.parse(finished_at), title }]
}

const LEGEND = html`<ul class="legend">
  <li>${legendSign('window')} window</li>
  <li>${legendSign('unchecked')} window, not looked through for gaps</li>
  <li>${legendSign('gap')} nothing to restore: WAL is missing</li>
  <li>${legendSign('base')} base backup</li>
  <li>${legendSign('base-unusable')} one that cannot be restored</li>
  <li>${legendSign('dump')} dump</li>
  <li>${legendSign('drill-good')} drill, good</li>
  <li>${legendSign('drill-failed')} drill, failed</li>
</ul>`

export const statusTimelinesStyle = `
.lane { display: grid; grid-template-columns: minmax(9rem, 15rem) minmax(0, 1fr); gap: 0 1.25rem; align-items: center; padding: .3rem 0; border-top: 1px solid var(--line); }
.lane:last-child { border-bottom: 1px solid var(--line); }
.axis-lane { position: sticky; top: 0; background: var(--ground); border-top: 0; z-index: 1; padding: 0; }
.axis-lane .quiet { font-size: .8rem; text-align: right; }
.name { display: flex; justify-content: space-between; gap: .5rem; align-items: center; min-width: 0; }
.name .server { font-weight: 600; overflow-wrap: anywhere; }
@media (max-width: 40rem) {
  .lane { grid-template-columns: minmax(0, 1fr); padding: .5rem 0; }
  .axis-lane { padding: 0; }
  .axis-lane .quiet { display: none; }
}
`
