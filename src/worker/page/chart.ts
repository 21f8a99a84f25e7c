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
  /** 10, or 1024 for bytes: what round numbers are made of */
  base: 10 | 1024
}

/** Values over time, as wide as there is room. What is not known is grey ground, and not nothing. */
export function chart({ name, more, values, say, at, axis, least, base }: ChartOptions): Html {
  const most = values.reduce<number>((one, other) => Math.max(one, other ?? 0), 0)
  const peak = values.indexOf(most)
  const top = scaleTop(Math.max(most, least), base)
  const isKnown = values.some((value) => value !== null)
  const words = isKnown ? `at most ${say(most)}${most > 0 ? `, at ${at(peak)}` : ''}` : 'nothing is known yet'
  return html`<figure>
    <figcaption>${name} <span class="quiet">${more}; ${words}</span></figcaption>
    <div class="plot">
      <span class="scale top" aria-hidden="true">${round(say(top))}</span>
      <span class="scale half" aria-hidden="true">${round(say(top / 2))}</span>
      <svg
        class="chart"
        viewBox="0 0 ${values.length} ${HEIGHT}"
        preserveAspectRatio="none"
        width="100%"
        height="96"
        role="img"
        aria-label="${name} over the last day: ${words}"
      >
        ${stretches(values, (value) => value === null).map(
          ([from, to]) => html`<rect class="unknown" x="${from}" y="0" width="${to - from}" height="${HEIGHT}" />`,
        )}
        ${[0, 0.5].map((part) => {
          const y = HEIGHT * part
          return html`<line class="grid" x1="0" x2="${values.length}" y1="${y}" y2="${y}" />`
        })}
        <path class="area" d="${area(values, top)}" />
      </svg>
    </div>
    ${axis}
  </figure> `
}

/** Without digits that say nothing. */
const round = (said: string): string => said.replace(/\.0+(?= )/, '')

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

/** The next round number, of which the half is one too: 2, 4, 6, 10, 20 … */
function scaleTop(value: number, base: 10 | 1024): number {
  const unit = base === 10 ? 1 : 1024 ** Math.floor(Math.log(Math.max(1, value)) / Math.log(1024))
  const power = 10 ** Math.floor(Math.log10(value / unit))
  const step = [1, 2, 4, 6, 10].find((one) => one * power * unit >= value) ?? 10
  return step * power * unit
}
