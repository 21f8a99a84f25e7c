import { figures, NOTHING } from '../../html/figures.js'
import { html, type Html } from '../../html/html.js'
import { timelineAxis } from '../../html/timeline.js'
import { roundBytes } from '../../units.js'
import type { WalMinute } from '../wal-history.js'
import { chart } from './chart.js'
import type { Seen } from './seen.js'
import { brief, clock, inUtc } from './words.js'

const MINUTES_TOGETHER = 5

/** How much WAL was stored over the last day, and how long it waited. */
export function walSection({ wal, now }: Seen): Html {
  const minutes = wal.minutes(now.getTime())
  const range = { from: minutes[0]!.at, to: minutes.at(-1)!.at + 60_000 }
  const groups = together(minutes, (_, index) => Math.floor(index / MINUTES_TOGETHER))
  const rates = groups.map(({ bytes }) => (bytes === null ? null : bytes / (MINUTES_TOGETHER * 60)))
  const delays = groups.map(({ seconds }) => seconds)
  const rate = (value: number) => `${roundBytes(value)}/s`
  const total = minutes.reduce((sum, { bytes }) => sum + (bytes ?? 0), 0)
  const axis = timelineAxis(range, true)
  const at = (index: number) => clock(groups[index]!.at).slice(0, 5)
  return html`<h2 id="wal-name">WAL, the last day</h2>
    <div class="charts">
      ${chart({ name: 'Stored', more: `${roundBytes(total)} in all`, values: rates, say: rate, at, axis, least: 1024, base: 1024 })}
      ${chart({ name: 'Delay until stored', more: 'the longest of each 5 minutes', values: delays, say: brief, at, axis, least: 1, base: 10 })}
    </div>
    <p class="quiet">${knownSince(wal.startedAt, wal.knownFrom, range.from)}</p>
    <details id="wal-table">
      <summary>The same by the hour</summary>
      ${byTheHour(minutes)}
    </details>`
}

function knownSince(startedAt: number, knownFrom: number, dayAgo: number): string {
  const before = 'Before compression. All times are UTC.'
  if (startedAt <= dayAgo) return before
  const since = `The delay is known since the worker began at ${inUtc(startedAt)}`
  if (knownFrom >= startedAt) return `${since}, and so is what was stored. ${before}`
  return knownFrom <= dayAgo + 60_000
    ? `${since}; what was stored before is by the minute of whole segments. ${before}`
    : `${since}; what was stored before, since ${inUtc(knownFrom)}, is by the minute of whole segments. ${before}`
}

/** Sums of bytes and the longest delay of minutes of the same number; null where nothing is known of any of them. */
function together(minutes: readonly WalMinute[], numberOf: (minute: WalMinute, index: number) => number): WalMinute[] {
  const byNumber = new Map<number, WalMinute[]>()
  for (const [index, minute] of minutes.entries()) {
    const number = numberOf(minute, index)
    byNumber.set(number, [...(byNumber.get(number) ?? []), minute])
  }
  return [...byNumber.values()].map((some) => {
    const bytes = some.flatMap((one) => one.bytes ?? [])
    const seconds = some.flatMap((one) => one.seconds ?? [])
    return {
      at: some[0]!.at,
      bytes: bytes.length === 0 ? null : bytes.reduce((one, other) => one + other, 0),
      seconds: seconds.length === 0 ? null : Math.max(...seconds),
    }
  })
}

function byTheHour(minutes: readonly WalMinute[]): Html {
  const rows = together(minutes, ({ at }) => Math.floor(at / 3_600_000))
    .reverse()
    .map(({ at, bytes, seconds }) => [
      inUtc(at).slice(0, 16),
      bytes === null ? NOTHING : roundBytes(bytes),
      seconds === null ? NOTHING : brief(seconds),
    ])
  return figures('WAL by the hour', ['From, UTC', '#Stored', '#Longest delay'], rows)
}

export const walStyle = `
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); gap: 1rem 2rem; }
.charts figure { margin: 0; min-width: 0; }
#wal-table .figures { max-width: 32rem; }
#wal-table .figures tr > * { padding: .25rem .6rem .25rem 0; }
@media (max-width: 60rem) {
  #wal-table .figures { display: table; }
  #wal-table .figures thead { display: table-header-group; position: static; clip-path: none; }
  #wal-table .figures tbody { display: table-row-group; }
  #wal-table .figures tr { display: table-row; border: 0; }
  #wal-table .figures tr > * { display: table-cell; border-top: 1px solid var(--line); }
  #wal-table .figures td::before { content: none; }
  #wal-table .figures .number { text-align: right; }
}
.charts figcaption { font-weight: 600; font-size: .92rem; margin-bottom: .5rem; }
.charts figcaption .quiet { display: block; font-weight: 400; }
.plot { position: relative; padding-right: 4.6rem; }
.charts .axis { padding-right: 4.6rem; }
.scale { position: absolute; right: 0; width: 4.2rem; text-align: left; font-size: 12px; line-height: 1; color: var(--quiet); }
.scale.top { top: -4px; }
.scale.half { top: 44px; }
@media (max-width: 40rem) { .charts .axis .minor:nth-of-type(even) { display: inline; } .charts .axis .major { display: none; } }
.chart { display: block; border-bottom: 1px solid var(--line); }
.chart .area { fill: var(--window); }
.chart .grid { stroke: var(--line); stroke-width: 1; vector-effect: non-scaling-stroke; }
.chart .unknown { fill: var(--line); opacity: .45; }
`
