import { html, type Html } from './html.js'
import { percent, ticks, type TimeRange } from './time-axis.js'

/** A stretch of time, drawn as a bar: what it means, and in words for who points at it. */
export interface Stretch {
  kind: 'window' | 'unchecked' | 'gap'
  from: number
  to: number
  title: string
}

/** A moment, drawn as a shape. */
export interface Mark {
  kind: 'base' | 'base-unusable' | 'dump' | 'drill-good' | 'drill-failed'
  at: number
  title: string
}

const ROW_HEIGHT = 34
const BAR = { y: 4, height: 12 }
const MARK_Y = 25

/** What bars are filled with; once on each page with timelines. */
export const timelinePatterns: Html = html`<svg
  class="patterns"
  width="0"
  height="0"
  aria-hidden="true"
  focusable="false"
>
  <defs>
    <pattern id="pattern-unchecked" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
      <rect class="pattern-ground" width="6" height="6" />
      <rect class="pattern-line" width="3" height="6" />
    </pattern>
  </defs>
</svg>`

/** Dates above timelines of the same range. `hasRoom`: beside it on the right, so that the last one stands at its place. */
export function timelineAxis(range: TimeRange, hasRoom = false): Html {
  const named = ticks(range)
  return html`<svg class="axis" width="100%" height="20" aria-hidden="true" focusable="false">
    ${named.map((tick) => {
      const at = percent(range, tick.at)
      const anchor = at < 4 ? 'start' : at > 96 && !hasRoom ? 'end' : 'middle'
      return html`<text x="${at}%" y="14" text-anchor="${anchor}" class="${tick.isMajor ? 'major' : 'minor'}"
        >${tick.label}</text
      >`
    })}
  </svg>`
}

/** One row: bars above, marks below. `label` says in words what it shows. */
export function timeline(range: TimeRange, label: string, stretches: readonly Stretch[], marks: readonly Mark[]): Html {
  const grid = ticks(range).map(({ at }) => {
    const x = percent(range, at)
    return html`<line class="grid" x1="${x}%" x2="${x}%" y1="0" y2="${ROW_HEIGHT}" />`
  })
  return html`<svg class="timeline" width="100%" height="${ROW_HEIGHT}" role="img" aria-label="${label}">
    ${grid}${stretches.map((one) => bar(range, one))}${marks.map((one) => mark(range, one))}
  </svg>`
}

function bar(range: TimeRange, { kind, from, to, title }: Stretch): Html {
  const [x, end] = [percent(range, from), percent(range, to)]
  // A window of a minute is there all the same.
  const width = Math.max(0.3, Math.round((end - x) * 1000) / 1000)
  if (kind === 'gap') {
    const y = BAR.y + BAR.height / 2
    return html`<g class="gap"
      ><title>${title}</title
      ><rect class="reach" x="${x}%" y="${BAR.y}" width="${width}%" height="${BAR.height}" /><line
        x1="${x}%"
        x2="${Math.round((x + width) * 1000) / 1000}%"
        y1="${y}"
        y2="${y}"
    /></g>`
  }
  return html`<rect class="${kind}" x="${x}%" y="${BAR.y}" width="${width}%" height="${BAR.height}" rx="2"
    ><title>${title}</title></rect
  >`
}

const SHAPES: Record<Mark['kind'], string> = {
  base: 'M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z',
  'base-unusable': 'M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z',
  dump: 'M0 -5L5 0L0 5L-5 0z',
  'drill-good': 'M-4.5 0L-1.5 3.5L4.5 -4',
  'drill-failed': 'M-4 -4L4 4M4 -4L-4 4',
}

function mark(range: TimeRange, { kind, at, title }: Mark): Html {
  return html`<svg x="${percent(range, at)}%" y="${MARK_Y}" overflow="visible" class="mark ${kind}">
    <path d="${SHAPES[kind]}"><title>${title}</title></path>
  </svg>`
}

/** A shape or bar by itself, for a legend. */
export function legendSign(kind: Mark['kind'] | Stretch['kind']): Html {
  const sign =
    kind in SHAPES
      ? html`<svg x="9" y="7" overflow="visible" class="mark ${kind}">
          <path d="${SHAPES[kind as Mark['kind']]}" />
        </svg>`
      : kind === 'gap'
        ? html`<g class="gap"><line x1="0" x2="18" y1="7" y2="7" /></g>`
        : html`<rect class="${kind}" x="0" y="2" width="18" height="10" rx="2" />`
  return html`<svg class="sign" width="18" height="14" aria-hidden="true" focusable="false">${sign}</svg>`
}

/** The look of timelines, for page(). */
export const timelineStyle = `
.patterns { position: absolute; }
.timeline, .axis { display: block; overflow: visible; }
.axis text { fill: var(--quiet); font-size: 12px; }
.timeline .grid { stroke: var(--line); stroke-width: 1; opacity: .6; }
.window { fill: var(--window); }
.unchecked { fill: url(#pattern-unchecked); stroke: var(--window); stroke-width: 1; }
.pattern-ground { fill: var(--ground); }
.pattern-line { fill: var(--window); }
.gap line { stroke: var(--crit); stroke-width: 3; stroke-dasharray: 4 3; }
.gap .reach { fill: transparent; }
.mark path { stroke-width: 1.5; stroke: var(--ground); }
.mark.base path { fill: var(--base); }
.mark.base-unusable path { fill: var(--ground); stroke: var(--base); stroke-dasharray: 2 1.5; }
.mark.dump path { fill: var(--dump); }
.mark.drill-good path, .mark.drill-failed path { fill: none; stroke-width: 2.5; stroke-linecap: round; stroke-linejoin: round; }
.mark.drill-good path { stroke: var(--good); }
.mark.drill-failed path { stroke: var(--crit); }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; list-style: none; margin: 0 0 .75rem; padding: 0; color: var(--quiet); font-size: .85rem; }
.legend li { display: flex; align-items: center; gap: .4rem; }
.legend .sign { overflow: visible; flex: none; }
@media (max-width: 40rem) { .axis .minor { display: none; } }
@media (forced-colors: active) { .window, .unchecked { stroke: CanvasText; } }
`
