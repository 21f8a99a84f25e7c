import type { Overview } from '../../catalog/overview.js'
import type { OverviewGap, OverviewWindow } from '../../catalog/overview-recovery.js'
import { figures } from '../../html/figures.js'
import { html, type Html } from '../../html/html.js'
import type { TimeRange } from '../../html/time-axis.js'
import { legendSign, timeline, timelineAxis, type Mark, type Stretch } from '../../html/timeline.js'
import { roundBytes } from '../../units.js'
import { parseLsn } from '../../wal/lsn.js'
import { newestWindow } from './safety.js'
import { inUtc } from './words.js'

const LANES_AT_MOST = 6
const TABLE_ROWS = 20

interface Lane {
  name: string
  system_identifier: string
  timeline: number
  isFirst: boolean
  /** the oldest first */
  windows: OverviewWindow[]
}

/** Recovery windows over time, a lane for each timeline, and the same as a table. */
export function windowsSection(overview: Overview, until: number | null): Html {
  const lanes = lanesOf(overview)
  const range = rangeOf(overview)
  if (lanes.length === 0) {
    return html`<h2 id="windows-name">What can be restored</h2>
      <p class="quiet">Nothing yet: a window begins with a base backup.</p>`
  }
  return html`<h2 id="windows-name">What can be restored</h2>
    ${LEGEND}
    <div class="lanes">
      ${lanes.slice(0, LANES_AT_MOST).map((lane) => {
        const shown = { ...lane, windows: lane.windows.map((one) => goesOn(one, overview, until)) }
        return html`<div class="lane">
          <div class="name">${lane.name}</div>
          ${timeline(range, inWords(shown), stretchesOf(shown, overview), marksOf(range, shown, overview))}
        </div> `
      })}
      <div class="lane axis-lane"><span class="quiet">UTC</span>${timelineAxis(range)}</div>
    </div>
    ${lanes.length > LANES_AT_MOST && html`<p class="quiet">and ${lanes.length - LANES_AT_MOST} older timelines</p>`}
    ${table(overview, until)}`
}

/** Rows end with the last whole segment; what is stored behind it counts as well. */
function goesOn(window: OverviewWindow, overview: Overview, until: number | null): OverviewWindow {
  const goes = window === newestWindow(overview) && window.open && until !== null && until > window.to_at
  return goes ? { ...window, to_at: until } : window
}

/** Of the cluster that runs now, if there are any: what was before an upgrade would only make all of that small. */
function lanesOf(overview: Overview): Lane[] {
  const lanes = new Map<string, Lane>()
  for (const window of shownWindows(overview)) {
    const { system_identifier, timeline: number, is_current } = window
    const key = `${system_identifier} ${number}`
    const name = is_current ? `Timeline ${number}` : `Timeline ${number}, before an upgrade`
    const lane = lanes.get(key) ?? { name, system_identifier, timeline: number, isFirst: lanes.size === 0, windows: [] }
    lane.windows.unshift(window)
    lanes.set(key, lane)
  }
  return [...lanes.values()]
}

const shownWindows = ({ windows }: Overview): OverviewWindow[] =>
  windows.some(({ is_current }) => is_current) ? windows.filter(({ is_current }) => is_current) : windows

function rangeOf(overview: Overview): TimeRange {
  const { now_at } = overview
  const begins = shownWindows(overview).map(({ from_at }) => from_at)
  const from = begins.reduce((one, other) => Math.min(one, other), now_at - 6 * 3_600_000)
  const room = (now_at - from) * 0.015
  return { from: from - room, to: now_at + room }
}

function stretchesOf({ windows, timeline: number }: Lane, { gaps, now_at }: Overview): Stretch[] {
  return windows.flatMap((window, index): Stretch[] => {
    const { from_at: from, to_at: to, base_backups } = window
    const backups = base_backups === 1 ? 'one base backup' : `${base_backups} base backups`
    const title = `restorable from ${inUtc(from)} to ${inUtc(to)}, timeline ${number}, ${backups}`
    const bar: Stretch = { kind: 'window', from, to, title }
    const next = windows[index + 1]
    const end = next ? next.from_at : window.open || !window.is_current ? null : now_at
    if (end === null || end <= to) return [bar]
    const missing = gaps.find((gap) => gap.timeline === number && parseLsn(gap.from_lsn) >= parseLsn(window.to_lsn))
    const why = `nothing can be restored between ${inUtc(to)} and ${inUtc(end)}: ${missing ? gapInWords(missing) : 'no WAL of that time is stored'}`
    return [bar, { kind: 'gap', from: to, to: end, title: why }]
  })
}

function gapInWords({ bytes, reason }: OverviewGap): string {
  return `${roundBytes(bytes)} of WAL are missing${reason === null ? '' : ` (${reason})`}`
}

/** Dumps and drills have no timeline: they stand on that which goes on. */
function marksOf(range: TimeRange, lane: Lane, { base_backups, dumps, drills }: Overview): Mark[] {
  const bases = base_backups
    .filter((one) => one.system_identifier === lane.system_identifier && one.timeline === lane.timeline)
    .map((one): Mark => {
      const what = one.restorable ? 'base backup' : 'base backup that cannot be restored'
      const title = `${what} of ${inUtc(one.stopped_at)}, ${roundBytes(one.stored_bytes)} (${one.backup_id})`
      return { kind: one.restorable ? 'base' : 'base-unusable', at: one.stopped_at, title }
    })
  const isShown = ({ at }: Mark) => at >= range.from
  if (!lane.isFirst) return bases.filter(isShown).reverse()
  const others = [
    ...dumps.map((one): Mark => {
      const title = `dump of ${one.database_name} of ${inUtc(one.snapshot_at)}, ${roundBytes(one.stored_bytes)} (${one.dump_id})`
      return { kind: 'dump', at: one.snapshot_at, title }
    }),
    ...drills.map((one): Mark => {
      const title = `drill of ${one.backup_id} at ${inUtc(one.finished_at)}: ${one.ok ? 'good' : 'failed'}`
      return { kind: one.ok ? 'drill-good' : 'drill-failed', at: one.finished_at, title }
    }),
  ]
  return [...bases, ...others].filter(isShown).reverse()
}

function inWords({ name, windows }: Lane): string {
  const spans = windows.slice(-3).map(({ from_at, to_at }) => `from ${inUtc(from_at)} to ${inUtc(to_at)}`)
  const count = windows.length === 1 ? 'one window' : `${windows.length} windows`
  return `${name}: ${count}, restorable ${spans.join(' and ')}`
}

function table(overview: Overview, until: number | null): Html {
  const newest = newestWindow(overview)
  const windows = overview.windows.slice(0, TABLE_ROWS)
  const gaps = overview.gaps.slice(0, TABLE_ROWS)
  return html`<details id="windows-table">
    <summary>The same as a table</summary>
    ${figures(
      'Recovery windows',
      ['Restorable from', 'to', '#Timeline', '#Base backups', 'Behind it'],
      windows.map((one) => [
        inUtc(one.from_at),
        inUtc(goesOn(one, overview, until).to_at),
        one.is_current ? one.timeline : `${one.timeline}, before an upgrade`,
        one.base_backups,
        !one.open ? 'no WAL' : one === newest ? 'goes on' : 'ends here',
      ]),
    )}
    ${
      gaps.length > 0 &&
      figures(
        'Missing WAL',
        ['WAL is missing from', 'to', '#Timeline', '#Size', 'Why'],
        gaps.map((one) => [
          html`<code>${one.from_lsn}</code>`,
          html`<code>${one.to_lsn}</code>`,
          one.timeline,
          roundBytes(one.bytes),
          html`<bdi>${one.reason ?? 'not known'}</bdi>`,
        ]),
      )
    }
  </details>`
}

const LEGEND = html`<ul class="legend">
  <li>${legendSign('window')} can be restored to</li>
  <li>${legendSign('gap')} cannot: no WAL is stored</li>
  <li>${legendSign('base')} base backup</li>
  <li>${legendSign('dump')} dump</li>
  <li>${legendSign('drill-good')} drill, good</li>
  <li>${legendSign('drill-failed')} drill, failed</li>
</ul>`

export const windowsStyle = `
.lane { display: grid; grid-template-columns: 7.5rem minmax(0, 1fr); gap: 0 1rem; align-items: center; padding: .35rem 0; border-top: 1px solid var(--line); }
.lane .name { font-weight: 600; font-size: .92rem; }
.axis-lane { padding: .1rem 0 0; }
.axis-lane .quiet { font-size: .8rem; }
@media (max-width: 40rem) {
  .lane { grid-template-columns: minmax(0, 1fr); }
  .axis-lane .quiet { display: none; }
}
`
