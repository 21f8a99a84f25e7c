import type { StatusLife, StatusReport, StatusWindow } from '../keyholder/fleet/status-report.js'
import { formatAge } from '../units.js'
import { roundBytes } from './round-bytes.js'
import { table } from './table.js'

const HEADINGS = [
  '',
  'server',
  'last base',
  'took',
  'size',
  'last dump',
  'restorable from',
  'to',
  'checked',
  'behind',
  'last drill',
  'verified',
  'stored',
  'per day',
]

/** The report for a terminal. */
export function describeStatus(report: StatusReport): string {
  const { servers, totals, currency } = report
  if (servers.length === 0) return 'no server has stored anything in this bucket\n'
  const cost = (amount: number) => `about ${amount.toFixed(2)} ${currency}`
  const rows = servers.map((life) => [...row(life), cost(life.size.cost_per_month)])
  const notes = servers.flatMap(notesOf)
  const growth = roundBytes(totals.growth_bytes_per_day)
  return [
    ...table([...HEADINGS, 'per month'], rows),
    ...(notes.length > 0 ? ['', ...notes.map(printable)] : []),
    '',
    `${totals.servers} servers: ${totals.crit} critical, ${totals.warn} with warnings`,
    `stored: ${aboutUnless(report.exact)}${roundBytes(totals.bytes)}, about ${growth} more each day; ${cost(totals.cost_per_month)} each month`,
    describeProbe(report),
    '',
  ].join('\n')
}

function row(life: StatusLife): string[] {
  const { last_base: base, last_dump: dump, window, last_drill: drill, last_verify: verify, size } = life
  return [
    life.current ? life.level.toUpperCase() : 'old',
    life.server + (life.current ? '' : ` (${life.system_identifier!})`),
    base ? `${formatAge(base.age_seconds)} ago` : 'none',
    base?.duration_seconds === undefined || base.duration_seconds === null ? '' : formatAge(base.duration_seconds),
    base ? roundBytes(base.stored_bytes) : '',
    dump ? `${formatAge(dump.age_seconds)} ago` : '',
    window ? shortTime(window.from_at) : 'nothing',
    window ? shortTime(window.to_at) : '',
    window ? checked(window) : '',
    life.behind_at_most_seconds === null ? '' : `≤ ${formatAge(life.behind_at_most_seconds)}`,
    drill ? `${drill.ok ? 'good' : 'FAILED'}, ${formatAge(drill.age_seconds)} ago` : 'never',
    verify ? `${verify.ok ? 'good' : 'LOST'}, ${formatAge(verify.age_seconds)} ago` : 'not known',
    aboutUnless(size.exact) + roundBytes(size.bytes),
    size.growth_bytes_per_day === null ? '' : `about ${roundBytes(size.growth_bytes_per_day)}`,
  ]
}

function checked({ checked: how, checked_to_at }: StatusWindow): string {
  if (how === 'no') return 'ends only'
  return checked_to_at === null ? 'all' : `to ${shortTime(checked_to_at)}`
}

function notesOf({ server, warnings }: StatusLife): string[] {
  return warnings.map(({ level, message, hint }) => {
    return `${level.toUpperCase()} ${server}: ${message}. ${hint.replaceAll('NAME', server)}`
  })
}

function describeProbe({ probe }: StatusReport): string {
  if (probe === null) return 'never probed: "postbox probe" tries what the bucket does'
  const { probed_at, immutable } = probe
  return `probed ${shortTime(probed_at)}: ${immutable ? 'immutable by Object Lock' : 'not immutable'}`
}

const aboutUnless = (exact: boolean): string => (exact ? '' : 'about ')

const shortTime = (iso: string): string => iso.replace(/\.\d+Z$/, 'Z')

/** Messages quote what comes out of the bucket, so that a terminal must not take it for commands. */
// eslint-disable-next-line no-control-regex
const printable = (text: string): string => text.replace(/[\u0000-\u001f\u007f-\u009f]/g, '?')
