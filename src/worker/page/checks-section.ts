import type { Overview } from '../../catalog/overview.js'
import type { OverviewCheck } from '../../catalog/overview-upkeep.js'
import { html, written, type Content, type Html } from '../../html/html.js'
import { formatAge } from '../../units.js'
import { badge } from './words.js'

/** What is not well, with what to do; then, folded, what is. */
export function checksSection({ checks, now_at }: Overview): Html {
  const of = (state: OverviewCheck['state']) => checks.filter((check) => check.state === state)
  const bad = [...of('crit'), ...of('warn')]
  const good = of('ok')
  return html`<h2 id="checks-name">Checks</h2>
    ${
      bad.length > 0 &&
      html`<ul class="checks">
        ${bad.map((check) => item(check, now_at))}
      </ul>`
    }
    <details id="good-checks">
      <summary>${badge('ok')} ${summary(good.length, bad.length)}</summary>
      <ul class="checks">
        ${good.map((check) => item(check, now_at))}
      </ul>
    </details>`
}

function summary(good: number, bad: number): string {
  if (bad === 0) return `all ${good} checks`
  return good === 1 ? 'one other check' : `${good} other checks`
}

function item({ name, state, message, hint, since }: OverviewCheck, now: number): Html {
  const hinted: Content = hint !== null && html`<p class="hint">${written(hint)}</p>`
  return html`<li>
    <span class="check">${state !== 'ok' && badge(state)} <code>${name}</code></span>
    <div>
      <p>
        ${written(message)}${since !== null && state !== 'ok' && html` <span class="quiet">(for ${formatAge(Math.max(0, now - since) / 1000)})</span>`}
      </p>
      ${hinted}
    </div>
  </li>`
}

export const checksStyle = `
.checks { list-style: none; margin: 0; padding: 0; }
.checks li { display: grid; grid-template-columns: minmax(10rem, 13rem) minmax(0, 1fr); gap: .2rem 1rem; padding: .5rem 0; border-top: 1px solid var(--line); }
.checks .check { display: flex; gap: .5rem; align-items: baseline; flex-wrap: wrap; }
.checks p { margin: 0; overflow-wrap: anywhere; }
.checks .hint { color: var(--quiet); }
summary { cursor: pointer; padding: .4rem 0; }
details > .checks { margin-bottom: .5rem; }
@media (max-width: 40rem) { .checks li { grid-template-columns: minmax(0, 1fr); } }
`
