import { fact, facts, factsStyle } from '../html/facts.js'
import { figuresStyle } from '../html/figures.js'
import { html, written, type Content, type Html } from '../html/html.js'
import { page, pageStyle } from '../html/page.js'
import { timelinePatterns, timelineStyle } from '../html/timeline.js'
import type { StatusLife, StatusReport, StatusWarning } from '../keyholder/fleet/status-report.js'
import { roundBytes } from './round-bytes.js'
import { moment } from './status-words.js'
import { statusTable } from './status-page-table.js'
import { statusTimelines, statusTimelinesStyle } from './status-page-timelines.js'

/** The report as a page for a browser, which needs nothing else. */
export function statusPage(report: StatusReport): string {
  const { servers, bucket } = report
  const style = factsStyle + timelineStyle + statusTimelinesStyle + figuresStyle + STYLE
  const body = html`${timelinePatterns}
    <header>
      <h1>Backups in <bdi>${bucket}</bdi></h1>
      <p class="quiet">
        As of <time datetime="${report.created_at}">${moment(report.created_at)}</time>. All times are UTC.
      </p>
    </header>
    <main>
      ${summary(report)}
      ${
        servers.length === 0
          ? html`<p>No server has stored anything in this bucket.</p>`
          : [attention(servers), statusTimelines(report), statusTable(report), footnotes(report)]
      }
    </main>`
  return page({ title: `Backups in ${bucket}`, style: pageStyle(style), body })
}

function summary({ totals, servers, exact, currency, probe }: StatusReport): Html {
  const current = servers.filter((life) => life.current)
  const well = current.filter(({ level }) => level === 'ok').length
  return facts(
    fact('Servers', totals.servers, `${well} without a warning`),
    fact('Critical', html`<span class="${totals.crit > 0 ? 'crit' : ''}">${totals.crit}</span>`),
    fact('With warnings', html`<span class="${totals.warn > 0 ? 'warn' : ''}">${totals.warn}</span>`),
    fact('Stored', roundBytes(totals.bytes), exact ? null : 'about'),
    fact('Added each day', roundBytes(totals.growth_bytes_per_day), 'about'),
    fact('Each month', `${totals.cost_per_month.toFixed(2)} ${currency}`, 'about'),
    fact(
      'Immutable',
      probe === null ? 'not known' : probe.immutable ? 'yes' : 'no',
      probe ? `probed ${moment(probe.probed_at)}` : 'never probed',
    ),
  )
}

interface WarningGroup extends StatusWarning {
  lives: { server: string; message: string }[]
}

/** What to look at, the worst first. The same of many servers is one entry, that opens. */
function attention(servers: readonly StatusLife[]): Content {
  const groups = new Map<string, WarningGroup>()
  for (const { server, warnings } of servers) {
    for (const warning of warnings) {
      const key = `${warning.level} ${warning.name}`
      const group = groups.get(key) ?? { ...warning, lives: [] }
      group.lives.push({ server, message: warning.message })
      groups.set(key, group)
    }
  }
  if (groups.size === 0)
    return html`<h2>What to look at</h2>
      <p>Nothing: all is well.</p>`
  const sorted = [...groups.values()].sort((a, b) => (a.level === b.level ? 0 : a.level === 'crit' ? -1 : 1))
  return html`<h2>What to look at</h2>
    <ul class="attention">
      ${sorted.map(groupOf)}
    </ul>`
}

function groupOf({ level, name, message, hint, lives }: WarningGroup): Html {
  const badge = html`<span class="badge ${level}">${level === 'crit' ? 'critical' : 'warning'}</span>`
  const [only, ...others] = lives
  if (others.length === 0) {
    const { server } = only!
    return html`<li>
      ${badge} <a href="#server-${server}">${server}</a>: ${written(message)}.
      <span class="quiet">${hint.replaceAll('NAME', server)}</span>
    </li>`
  }
  return html`<li>
    <details>
      <summary>${badge} ${GROUPS[name] ?? name}: ${lives.length} servers</summary>
      <p class="quiet">${hint}</p>
      <ul>
        ${lives.map((one) => html`<li><a href="#server-${one.server}">${one.server}</a>: ${written(one.message)}</li>`)}
      </ul>
    </details>
  </li>`
}

/** A warning of many servers, in words that are true of each. */
const GROUPS: Record<string, string> = {
  nothing_stored: 'known, and nothing is stored',
  cannot_be_told: 'how it stands cannot be told',
  no_base: 'no base backup that can be restored',
  base_age: 'the last base backup is old',
  base_unusable: 'a newer base backup cannot be restored',
  window_closed: 'no window reaches to the newest WAL',
  window_broken: 'WAL is missing',
  quiet: 'no WAL was stored for long',
  drill_none: 'no restore was ever proved',
  drill_failed: 'the last drill failed',
  drill_age: 'the last drill was long ago',
  verify_none: 'WAL was never looked through for gaps',
  verify_age: 'WAL was looked through for gaps long ago',
  verify_failed: 'something is lost, as the last verify found',
  suspicious: 'something is suspicious',
  parted: 'WAL is stored in two ways, as after a split brain',
}

function footnotes({ exact, currency, price_gb_month, price_thousand_requests }: StatusReport): Html {
  return html`<h2>What the words mean</h2>
    <dl class="words">
      <dt>Window</dt>
      <dd>
        Moments that can be restored to: from when the oldest base backup in it was consistent, to when its last WAL was
        stored.
      </dd>
      <dt>Behind at most</dt>
      <dd>
        How long ago the newest WAL was stored. An idle server writes none, and is not behind; otherwise so much would
        be lost with the server. The bucket cannot tell which it is: <code>backup.status</code> in the database can.
      </dd>
      <dt>Not looked through</dt>
      <dd>
        Of a long row of WAL its two ends are looked at. <code>postbox verify --store</code> looks for gaps, and so does
        <code>postbox status --exact</code>.
      </dd>
      <dt>About</dt>
      <dd>
        ${exact ? 'Growth and cost are estimates' : 'Size of WAL, growth and cost are estimates'}, from samples and the
        last week. Cost: ${price_gb_month} ${currency} for a GB each month, ${price_thousand_requests} ${currency} for
        1000 requests that store.
      </dd>
    </dl>`
}

const STYLE = `
a { color: inherit; text-decoration-color: var(--quiet); text-underline-offset: 2px; }
.attention { list-style: none; padding: 0; margin: .5rem 0; }
.attention > li { padding: .4rem 0; border-top: 1px solid var(--line); }
.attention > li:last-child { border-bottom: 1px solid var(--line); }
.attention summary { cursor: pointer; }
.attention details ul { margin: .25rem 0 .5rem; padding-left: 1.4rem; columns: 24rem; }
.words { display: grid; grid-template-columns: max-content minmax(0, 70ch); gap: .4rem 1.25rem; margin: 0; }
.words dt { font-weight: 600; }
.words dd { margin: 0; color: var(--quiet); }
@media (max-width: 40rem) {
  .words { display: block; }
  .words dd { margin-bottom: .6rem; }
}
`
