import { NOTHING } from '../html/figures.js'
import { html, written, type Content, type Html } from '../html/html.js'
import type { StatusItem, StatusLife, StatusReport, StatusSize } from '../keyholder/fleet/status-report.js'
import { formatAge } from '../units.js'
import { roundBytes } from './round-bytes.js'
import { checkedInWords, minute, moment } from './status-words.js'

const COLUMNS = [
  'Server',
  'Last base backup',
  'Last dump',
  'Window',
  'Behind at most',
  'Last drill',
  'Verified',
  'Stored',
  'Each month',
] as const

/** The figures, a row for each life. */
export function statusTable({ servers, exact, currency }: StatusReport): Html {
  // Roles are said, because on a small screen rows are shown as blocks, and would lose them.
  return html`<h2>Figures</h2>
    <table class="figures" role="table">
      <thead role="rowgroup">
        <tr role="row">
          ${COLUMNS.map((name) => html`<th scope="col" role="columnheader">${name}</th>`)}
        </tr>
      </thead>
      <tbody role="rowgroup">
        ${servers.map((life) => row(life, hasSeveral(life, servers), exact, currency))}
      </tbody>
    </table>`
}

/** Only then must it be said which life it is. */
const hasSeveral = ({ server }: StatusLife, all: readonly StatusLife[]): boolean =>
  all.filter((one) => one.server === server).length > 1

function row(life: StatusLife, severalLives: boolean, exact: boolean, currency: string): Html {
  const { server, system_identifier, current, level, last_dump: dump, size } = life
  const word = level === 'ok' ? 'ok' : level === 'warn' ? 'warning' : 'critical'
  const cells: Content[] = [
    base(life),
    dump
      ? [ago(dump.age_seconds, dump.at), label(dump), more(`${roundBytes(dump.stored_bytes)}, ${dump.database!}`)]
      : NOTHING,
    windowCell(life),
    behind(life),
    drill(life),
    verified(life),
    stored(size, exact),
    together(`about ${size.cost_per_month.toFixed(2)} ${currency}`),
  ]
  return html`<tr role="row" ${current && html` id="server-${server}"`} class="${current ? '' : 'earlier'}">
    <th scope="row" role="rowheader">
      <span class="server">${server}</span>
      <span class="badge ${current ? level : 'old'}">${current ? word : 'earlier life'}</span
      >${severalLives && more(system_identifier)}
    </th>
    ${cells.map((cell, index) => html`<td role="cell" data-name="${COLUMNS[index + 1]!}" class="${cell === NOTHING ? 'nothing' : ''}"><div>${cell}</div></td>`)}
  </tr> `
}

/** Not broken between its words. */
const together = (text: string): Html => html`<span class="together">${text}</span>`

function stored({ bytes, wal_bytes, growth_bytes_per_day: growth }: StatusSize, exact: boolean): Content {
  const added = growth === null ? '' : `; about ${roundBytes(growth)} more each day`
  return [together(`${exact ? '' : 'about '}${roundBytes(bytes)}`), more(`WAL ${roundBytes(wal_bytes)}${added}`)]
}

const more = (text: Content): Html => html`<span class="more">${text}</span>`

const ago = (seconds: number, at: string): Html =>
  html`<time class="together" datetime="${at}" title="${moment(at)}">${formatAge(seconds)} ago</time>`

const label = (item: StatusItem): Content => item.label !== null && more(written(item.label))

function base({ last_base: last, base_backups }: StatusLife): Content {
  if (!last) return base_backups.length === 0 ? 'none' : 'none that can be restored'
  const took = last.duration_seconds === null ? '' : `, took ${formatAge(last.duration_seconds)}`
  const one = base_backups.length === 1
  return [
    ago(last.age_seconds, last.at),
    label(last),
    more(`${roundBytes(last.stored_bytes)}${took}; ${one ? 'the only one' : `one of ${base_backups.length}`}`),
  ]
}

function windowCell({ window }: StatusLife): Content {
  if (!window) return 'none'
  const { from_at, to_at, timeline } = window
  const onTimeline = timeline === 1 ? '' : `timeline ${timeline}; `
  return [
    html`<span class="when"><time datetime="${from_at}">${minute(from_at)}</time> –</span>
      <span class="when"><time datetime="${to_at}">${minute(to_at)}</time></span>`,
    more(`${onTimeline}${checkedInWords(window)}`),
  ]
}

function behind({ behind_at_most_seconds: seconds, quiet_since }: StatusLife): Content {
  if (seconds === null) return NOTHING
  return [formatAge(seconds), more(`quiet since ${minute(quiet_since!)}`)]
}

function drill({ last_drill: last }: StatusLife): Content {
  if (!last) return 'never'
  const result = last.ok ? 'good' : html`<span class="badge crit">failed</span>`
  return [result, ', ', ago(last.age_seconds, last.finished_at), last.problem !== null && more(written(last.problem))]
}

function verified({ last_verify: last }: StatusLife): Content {
  if (!last) return NOTHING
  const result = last.ok ? 'good' : html`<span class="badge crit">lost</span>`
  return [result, ', ', ago(last.age_seconds, last.verified_at), more(last.deep ? 'every byte read' : 'by listing')]
}
