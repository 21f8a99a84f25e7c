import { html, type Html } from '../../html/html.js'

const HEIGHT = 60

export interface ChartOptions {
  name: string
  more: string
  /** one after the other; null: not known */
  values: readonly (number | null)[]
  /** a value for people */
  say: (value: number) => string
  /** the time of a value for people */
  at: (index: number) => string
  /** below the chart */
  axis: Html
  /** what the scale reaches at least, so that noise does not look like mountains */
  least: number
}

/** Values over time, as wide as there is room. What is not known is grey ground, and not nothing. */
export function chart({ name, more, values, say, at, axis, least }: ChartOptions): Html {
  const most = values.reduce<number>((one, other) => Math.max(one, other ?? 0), 0)
  const peak = values.indexOf(most)
  const top = roundUp(Math.max(most, least))
  const isKnown = values.some((value) => value !== null)
  const words = isKnown ? `at most ${say(most)}${most > 0 ? `, at ${at(peak)}` : ''}` : 'nothing is known yet'
  return html`<figure>
    <figcaption>
      <span>${name} <span class="quiet">${more}</span></span> <span class="quiet">${words}</span>
    </figcaption>
    <svg
      class="chart"
      viewBox="0 0 ${values.length} ${HEIGHT}"
      preserveAspectRatio="none"
      width="100%"
      height="84"
      role="img"
      aria-label="${name} over the last day: ${words}"
    >
      ${stretches(values, (value) => value === null).map(
        ([from, to]) => html`<rect class="unknown" x="${from}" y="0" width="${to - from}" height="${HEIGHT}" />`,
      )}
      ${[0.25, 0.5, 0.75].map((part) => {
        const y = HEIGHT * part
        return html`<line class="grid" x1="0" x2="${values.length}" y1="${y}" y2="${y}" />`
      })}
      <path class="area" d="${area(values, top)}" />
    </svg>
    ${axis}
  </figure> `
}

/** A column for each value that is more than nothing; a small one can be seen all the same. */
function area(values: readonly (number | null)[], top: number): string {
  return values
    .map((value, index) => {
      if (!value) return ''
      const height = Math.max(1, Math.round((value / top) * HEIGHT * 10) / 10)
      return `M${index} ${HEIGHT}v-${height}h1v${height}z`
    })
    .join('')
}

function stretches<T>(values: readonly T[], is: (value: T) => boolean): [number, number][] {
  const found: [number, number][] = []
  for (const [index, value] of values.entries()) {
    if (!is(value)) continue
    const last = found.at(-1)
    if (last?.[1] === index) last[1] = index + 1
    else found.push([index, index + 1])
  }
  return found
}

/** A little more than the greatest value, so that it does not touch the top. */
const roundUp = (value: number): number => value * 1.08
