import { createHash } from 'node:crypto'
import { factsStyle } from '../../html/facts.js'
import { figuresStyle } from '../../html/figures.js'
import { html, Html } from '../../html/html.js'
import { page, pageStyle } from '../../html/page.js'
import { timelinePatterns, timelineStyle } from '../../html/timeline.js'
import { version } from '../../version.js'
import { backupsStyle, basesSection, dumpsSection, schedulesSection } from './backups-section.js'
import { checksSection, checksStyle } from './checks-section.js'
import { liveScript } from './live-script.js'
import { nowSection, nowStyle } from './now-section.js'
import { safety } from './safety.js'
import type { Seen } from './seen.js'
import { walSection, walStyle } from './wal-section.js'
import { windowsSection, windowsStyle } from './windows-section.js'
import { clock } from './words.js'

const OWN_STYLE = `
body { max-width: 76rem; }
.top { display: flex; flex-wrap: wrap; align-items: baseline; justify-content: space-between; gap: .2rem 1.5rem; }
.top p { margin: 0; }
#live::before { content: ''; display: inline-block; width: .6em; height: .6em; border-radius: 50%; border: 2px solid var(--quiet); margin-right: .4em; }
#live.on::before { background: var(--good); border-color: var(--good); }
.banner { padding: .5rem .8rem; border: 1px solid var(--crit); border-radius: 8px; background: var(--crit-ground); color: var(--crit-text); max-width: none; }
.unseen { position: absolute; width: 1px; height: 1px; margin: -1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
footer { margin-top: 2.5rem; padding-top: .75rem; border-top: 1px solid var(--line); font-size: .88rem; }
@media print { #live, details:not([open]) { display: none; } section { break-inside: avoid; } }
`

const STYLE = pageStyle(
  factsStyle +
    timelineStyle +
    figuresStyle +
    nowStyle +
    checksStyle +
    windowsStyle +
    backupsStyle +
    walStyle +
    OWN_STYLE,
)

const hashOf = (text: string): string => `'sha256-${createHash('sha256').update(text).digest('base64')}'`

/** Changes with what the page looks like and does. */
export const pageEdition = createHash('sha256')
  .update(STYLE + liveScript + version)
  .digest('hex')
  .slice(0, 12)

/** The page loads nothing, runs one script and asks its own worker alone. */
export const pagePolicy = [
  "default-src 'none'",
  `style-src ${hashOf(STYLE)}`,
  `script-src ${hashOf(liveScript)}`,
  "connect-src 'self'",
  'img-src data:',
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

const ICON =
  "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'><rect x='3' y='5' width='26' height='22' rx='5' fill='#0969da'/>" +
  "<rect x='8' y='11' width='16' height='4' rx='2' fill='#fff'/></svg>"

/** An icon that is not asked for; and without a script the page is loaded anew. */
const HEAD = new Html(
  `<link rel="icon" href="data:image/svg+xml,${encodeURIComponent(ICON)}">` +
    '<noscript><meta http-equiv="refresh" content="30"></noscript>',
)

const SECTIONS = ['checks', 'windows', 'wal', 'bases', 'dumps', 'schedules'] as const

/** The whole page. */
export function pageText(seen: Seen): string {
  const sections = pageSections(seen)
  const put = (id: string) => new Html(sections.get(id) ?? '')
  const server = seen.overview?.server ?? 'PostgreSQL'
  const body = html`${timelinePatterns}
    <header class="top">
      <h1><span class="quiet">Postbox</span> <bdi>${server}</bdi></h1>
      <p class="quiet"><span id="live" data-edition="${pageEdition}">as of ${clock(seen.now.getTime())} UTC</span></p>
    </header>
    <main>
      <p id="stale" class="banner" hidden>
        The worker does not answer. This page shows what was known at <time></time>.
      </p>
      <p id="state" class="unseen" role="status" aria-live="polite">${put('state')}</p>
      <div id="now">${put('now')}</div>
      ${SECTIONS.map((id) => html`<section id="${id}" aria-label="${NAMES[id]}">${put(id)}</section>`)}
    </main>
    <footer class="quiet" id="foot">${put('foot')}</footer>`
  return page({
    title: `Postbox: ${server}`,
    style: STYLE,
    body,
    head: HEAD,
    script: liveScript,
    policy: null,
  })
}

const NAMES: Record<(typeof SECTIONS)[number], string> = {
  checks: 'Checks',
  windows: 'What can be restored',
  wal: 'WAL, the last day',
  bases: 'Base backups',
  dumps: 'Dumps',
  schedules: 'Schedules',
}

/** What changes on the page, by the id of where it stands. */
export function pageSections(seen: Seen): Map<string, string> {
  const { overview } = seen
  const { until, words } = safety(seen)
  const sections = new Map<string, Html>([
    // Read aloud when it changes, so that no time stands in it.
    ['state', html`${words}`],
    ['now', nowSection(seen)],
    ['wal', walSection(seen)],
    ['foot', foot(seen)],
  ])
  if (overview) {
    sections.set('checks', checksSection(overview))
    sections.set('windows', windowsSection(overview, until))
    sections.set('bases', basesSection(overview))
    sections.set('dumps', dumpsSection(overview))
    sections.set('schedules', schedulesSection(overview))
  }
  return new Map([...sections].map(([id, content]) => [id, content.text]))
}

function foot({ overview, now }: Seen): Html {
  const database = overview
    ? html`, beside PostgreSQL ${overview.postgres_version}, catalog in the database <bdi>${overview.database}</bdi>`
    : ''
  return html`Postbox ${version}${database}. As of ${clock(now.getTime())} UTC. This page can only be read; SQL drives
    Postbox: <code>SELECT backup.start_base();</code>`
}
