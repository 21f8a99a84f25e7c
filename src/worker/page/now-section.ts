import type { Overview } from '../../catalog/overview.js'
import type { OverviewJob } from '../../catalog/overview-upkeep.js'
import { fact, facts } from '../../html/facts.js'
import { html, written, type Content, type Html } from '../../html/html.js'
import { formatAge, roundBytes } from '../../units.js'
import { safety } from './safety.js'
import type { Seen } from './seen.js'
import { badge, brief, clock, inUtc, kindInWords, lasted, roughlyAgo } from './words.js'

/** The headline, figures, and what runs. */
export function nowSection(seen: Seen): Html {
  const { overview } = seen
  return html`${headline(seen)}${overview && figuresNow(overview)}${overview && jobs(overview)}`
}

function headline(seen: Seen): Html {
  const { overview } = seen
  const { level, until, atLeast, why, words } = safety(seen)
  const name = atLeast ? 'Safe at least until' : 'Safe until'
  const now = overview?.now_at ?? seen.now.getTime()
  const nothing = overview ? 'nothing yet' : 'not known'
  return html`<div class="headline ${level}">
    <div>
      <h2>${until === null ? 'Safe' : name}</h2>
      <p class="big">${until === null ? nothing : bigTime(until, now)}</p>
    </div>
    ${overview && atRisk(seen, overview)}
    <p class="said">${badge(level, words)} <span class="quiet">${why}</span></p>
  </div>`
}

function atRisk({ streaming, away }: Seen, overview: Overview): Html {
  const { bytes_at_risk: bytes, seconds_at_risk: seconds, durable_lsn } = overview
  return html`<dl class="risk">
    <div>
      <dt>At risk</dt>
      <dd>${seconds === null ? 'not known' : brief(seconds)}</dd>
      <dd class="quiet">
        ${bytes === null ? 'how much is not known' : bytes === 0 ? 'all WAL is stored' : `${roundBytes(bytes)} not stored yet`}
      </dd>
    </div>
    <div>
      <dt>WAL</dt>
      <dd>${streaming && !away ? 'streams' : 'waits'}</dd>
      <dd class="quiet">${durable_lsn === null ? 'not known how far' : `stored to ${durable_lsn}`}</dd>
    </div>
  </dl>`
}

/** The date, too, when it is another day's. */
function bigTime(at: number, now: number): Html {
  const [day, time] = inUtc(at).split(' ')
  const isToday = inUtc(now).startsWith(day!)
  return html`<time datetime="${new Date(at).toISOString()}"
    >${!isToday && html`<span class="together">${day!}</span> `}<span class="together"
      >${time!}<small> UTC</small></span
    ></time
  >`
}

function figuresNow(overview: Overview): Html {
  const { now_at: now, grant_expires_at: expires } = overview
  const base = overview.base_backups.find(({ is_own }) => is_own)
  const [dump] = overview.dumps
  const drill = overview.drills.find(({ is_current }) => is_current)
  const next = overview.schedules.find(({ next_run_at }) => next_run_at !== null)
  return facts(
    fact(
      'Last base backup',
      base ? roughlyAgo(base.stopped_at, now) : 'none',
      base ? `${roundBytes(base.stored_bytes)} in ${lasted((base.stopped_at - base.started_at) / 1000)}` : 'never',
    ),
    fact(
      'Last dump',
      dump ? roughlyAgo(dump.finished_at, now) : 'none',
      dump ? html`${written(dump.database_name)}, ${roundBytes(dump.stored_bytes)}` : 'never',
    ),
    fact(
      'Last drill',
      drill ? roughlyAgo(drill.finished_at, now) : 'none',
      drill ? (drill.ok ? 'restored, and good' : badge('crit', 'failed')) : 'no restore was proved',
    ),
    fact(
      'Next run',
      next ? roughlyAgo(next.next_run_at!, now) : 'none',
      next ? html`${next.name}, ${kindInWords[next.kind]}` : 'nothing is scheduled',
    ),
    fact(
      'Grant ends',
      expires === null ? 'none' : roughlyAgo(expires, now),
      expires === null ? 'nothing can be stored' : 'it lets the worker store',
    ),
  )
}

function jobs({ jobs: some, now_at }: Overview): Content {
  return (
    some.length > 0 &&
    html`<ul class="jobs">
      ${some.map((job) => jobInWords(job, now_at))}
    </ul>`
  )
}

function jobInWords(job: OverviewJob, now: number): Html {
  const { job_id, kind, state, phase, schedule } = job
  const by = schedule === null ? '' : `, by the schedule ${schedule}`
  const name = html`<strong>${kind === 'base' ? 'Base backup' : 'Dump'}</strong> ${job.label && written(job.label)}
    <span class="quiet">job ${job_id}${by}</span>`
  if (state !== 'running') {
    const waits = state === 'queued' ? 'waits for its turn' : 'was interrupted, and begins anew'
    return html`<li>${name} <span>${waits} since ${clock(job.created_at)}</span></li>`
  }
  return html`<li>
    ${name} <span>${phase ?? 'begins'}</span>${progress(job)}
    <span class="quiet">${figuresOf(job, now)}</span>
  </li>`
}

function progress({ job_id, bytes_done: done, bytes_total: total }: OverviewJob): Content {
  if (done === null || !total) return null
  const percent = Math.min(100, Math.floor((done / total) * 100))
  return html`<span class="progress">
    <progress max="100" value="${percent}" aria-label="job ${job_id}"></progress> <strong>${percent} %</strong>
  </span>`
}

function figuresOf({ bytes_done, bytes_total, rate, eta_seconds, started_at }: OverviewJob, now: number): string {
  const done =
    bytes_done === null ? [] : [`${roundBytes(bytes_done)}${bytes_total ? ` of ${roundBytes(bytes_total)}` : ''}`]
  const speed = rate ? [`${roundBytes(rate)}/s`] : []
  const left = eta_seconds === null ? [] : [`${formatAge(eta_seconds)} left`]
  const since = started_at === null ? [] : [`begun ${formatAge(Math.max(0, now - started_at) / 1000)} ago`]
  return [...done, ...speed, ...left, ...since].join(', ')
}

export const nowStyle = `
.headline { display: grid; grid-template-columns: minmax(0, 1fr) auto; gap: .2rem 2rem; margin: 1rem 0 0; padding: 1rem 1.25rem 1.1rem; border: 1px solid var(--line); border-left: 6px solid var(--good); border-radius: 8px; background: var(--raised); }
.headline.warn { border-left-color: var(--warn); }
.headline.crit { border-left-color: var(--crit); }
.headline h2, .risk dt { margin: 0; font-size: .95rem; font-weight: 600; color: var(--quiet); }
.headline p { margin: 0; max-width: none; }
.headline .big { font-size: clamp(2rem, 7vw, 3.4rem); line-height: 1.15; font-weight: 700; letter-spacing: -.02em; }
.headline .big small { font-size: .4em; font-weight: 600; color: var(--quiet); letter-spacing: 0; }
.headline .said { grid-column: 1 / -1; overflow-wrap: anywhere; }
.headline .badge { margin-right: .35rem; font-size: .88rem; white-space: normal; }
.risk { display: flex; gap: .5rem 2rem; margin: 0; }
.risk > div { min-width: 9.5rem; }
.risk dd { margin: 0; font-size: 1.5rem; font-weight: 600; line-height: 1.35; }
.risk dd.quiet { font-size: .85rem; font-weight: 400; }
#now .facts { grid-template-columns: repeat(5, minmax(0, 1fr)); margin-top: .75rem; }
@media (max-width: 60rem) { #now .facts { grid-template-columns: repeat(3, minmax(0, 1fr)); } }
@media (max-width: 50rem) { .headline { grid-template-columns: minmax(0, 1fr); } .risk { margin: .5rem 0; } .risk > div { min-width: 0; flex: 1; } }
@media (max-width: 40rem) { #now .facts { grid-template-columns: repeat(2, minmax(0, 1fr)); } }
.jobs { list-style: none; padding: 0; margin: .75rem 0 0; }
.jobs li { display: flex; flex-wrap: wrap; align-items: center; gap: .2rem .8rem; padding: .55rem .8rem; border: 1px solid var(--line); border-radius: 8px; margin-top: .5rem; }
.progress { display: inline-flex; align-items: center; gap: .6rem; flex: 1 1 14rem; }
progress { flex: 1; appearance: none; height: 10px; border: 0; border-radius: 5px; overflow: hidden; background: var(--line); min-width: 6rem; }
progress::-webkit-progress-bar { background: var(--line); }
progress::-webkit-progress-value { background: var(--window); }
progress::-moz-progress-bar { background: var(--window); }
.together { white-space: nowrap; }
`
