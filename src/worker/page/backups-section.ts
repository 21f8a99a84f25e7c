import type { Overview } from '../../catalog/overview.js'
import { figures, NOTHING } from '../../html/figures.js'
import { html, written, type Content, type Html } from '../../html/html.js'
import { roundBytes } from '../../units.js'
import { ago, badge, kindInWords, label, lasted, more, when } from './words.js'

const SHOWN = 6

/** The newest base backups. */
export function basesSection({ base_backups, base_count, now_at }: Overview): Html {
  const rows = base_backups
    .slice(0, SHOWN)
    .map((one) => [
      [when(one.stopped_at, now_at), label(one.label)],
      one.restorable ? 'yes' : badge('crit', 'no: WAL is missing'),
      lasted((one.stopped_at - one.started_at) / 1000),
      roundBytes(one.raw_bytes),
      roundBytes(one.stored_bytes),
      html`<code>${one.backup_id}</code>`,
    ])
  return html`<h2 id="bases-name">Base backups</h2>
    ${listed(rows, base_count, 'base_backups', () => figures('Base backups', ['Ended', 'Restorable', '#Took', '#Read', '#Stored', 'Name'], rows))}`
}

/** The newest dumps. */
export function dumpsSection({ dumps, dump_count, now_at }: Overview): Html {
  const rows = dumps.slice(0, SHOWN).map((one) => {
    const what = [one.whole ? 'whole' : 'a part', ...(one.masked ? ['masked'] : [])].join(', ')
    return [
      [when(one.snapshot_at, now_at), label(one.label)],
      [written(one.database_name), more(`${what}, ${one.tables} ${one.tables === 1 ? 'table' : 'tables'}`)],
      lasted((one.finished_at - one.snapshot_at) / 1000),
      roundBytes(one.raw_bytes),
      roundBytes(one.stored_bytes),
      html`<code>${one.dump_id}</code>`,
    ]
  })
  return html`<h2 id="dumps-name">Dumps</h2>
    ${listed(rows, dump_count, 'dumps', () => figures('Dumps', ['Of', 'Database', '#Took', '#Read', '#Stored', 'Name'], rows))}`
}

/** What starts by time. */
export function schedulesSection({ schedules, now_at }: Overview): Html {
  const rows = schedules.map((one): Content[] => [
    one.name,
    html`${kindInWords[one.kind]}${more(html`<code>${one.cron}</code> ${one.time_zone}`)}`,
    one.next_run_at === null ? (one.error_message ?? NOTHING) : ago(one.next_run_at, now_at),
    one.last_run_at === null ? 'never' : ago(one.last_run_at, now_at),
    one.last_state === null ? NOTHING : one.last_state === 'failed' ? badge('crit', 'failed') : one.last_state,
  ])
  return html`<h2 id="schedules-name">Schedules</h2>
    ${listed(rows, rows.length, 'schedules', () => figures('Schedules', ['Name', 'Starts', 'Next', 'Last', 'Ended'], rows))}`
}

function listed(rows: readonly unknown[], count: number, view: string, shown: () => Html): Content {
  if (rows.length === 0) return html`<p class="quiet">None yet.</p>`
  const left = count - rows.length
  return [shown(), left > 0 && html`<p class="quiet">and ${left} more in <code>backup.${view}</code></p>`]
}

/** Those of base backups and dumps stand below each other. */
export const backupsStyle = `
@media (min-width: 60.01rem) {
  #bases .figures, #dumps .figures { table-layout: fixed; }
  #bases th:nth-child(1), #dumps th:nth-child(1) { width: 21%; }
  #bases th:nth-child(2), #dumps th:nth-child(2) { width: 20%; }
  #bases th:nth-child(n+3), #dumps th:nth-child(n+3) { width: 11.5%; }
  #bases th:nth-child(6), #dumps th:nth-child(6) { width: 24.5%; padding-left: 1.5rem; }
  #bases td:nth-child(6), #dumps td:nth-child(6) { padding-left: 1.5rem; }
}
`
