import type { ListedJob } from '../catalog/job-list.js'
import { roundBytes } from './round-bytes.js'
import { printed, table } from './table.js'
import { bar, clock, describeTransfer, percent } from './transfer.js'

const BAR_WIDTH = 24

const HEADINGS = [
  'job',
  'kind',
  'label',
  'state',
  'phase',
  'tries',
  'read',
  'of',
  'per second',
  'begun',
  'took',
  'left',
]

/** The jobs as a table, with what failed below it. */
export function jobTable(jobs: readonly ListedJob[]): string[] {
  if (jobs.length === 0) return ['no jobs']
  return [...table(HEADINGS, jobs.map(row)), ...jobs.flatMap(troubleLines)]
}

function row(job: ListedJob): string[] {
  const took = seconds(job)
  return [
    job.job_id,
    job.kind,
    job.label ?? '',
    job.state,
    isOpen(job) ? (job.phase ?? '') : '',
    String(job.attempts),
    job.started_at === null ? '' : roundBytes(job.bytes_done),
    job.bytes_total === null ? '' : roundBytes(job.bytes_total),
    job.rate === null ? '' : roundBytes(job.rate),
    (job.started_at ?? job.created_at)!.toISOString().replace(/\.\d+Z$/, 'Z'),
    took === null ? '' : clock(took),
    job.eta_seconds === null ? '' : clock(job.eta_seconds),
  ]
}

/** One job as it is now: a line, with a bar while it runs, and what went wrong below. */
export function jobLines(job: ListedJob): string[] {
  return [
    printed(`#${job.job_id} ${job.kind}${job.label === null ? '' : ` "${job.label}"`}: ${progress(job)}`),
    ...troubleLines(job),
  ]
}

/** What of a job is worth another line where lines cannot be drawn again. */
export function jobMilestone(job: ListedJob): string {
  const { state, phase, attempts, tables_done: tables } = job
  const tenth = state === 'running' ? Math.floor((percent(job.bytes_done, job.bytes_total) ?? 0) / 10) : null
  return JSON.stringify([state, phase, attempts, tables, tenth])
}

export const isOpen = ({ ended_at }: ListedJob): boolean => ended_at === null

function progress(job: ListedJob): string {
  const { state, phase, bytes_done, bytes_total, rate, eta_seconds, tables_done, tables_total } = job
  const took = seconds(job)
  if (state === 'done') return `done, ${roundBytes(bytes_done)}${took === null ? '' : ` in ${clock(took)}`}`
  if (state !== 'running') return state
  const done = percent(bytes_done, bytes_total)
  return [
    ...(done === null ? [] : [`${bar(done, BAR_WIDTH)} `]),
    describeTransfer(bytes_done, bytes_total, rate),
    ...(tables_total === null ? [] : [`, ${tables_done ?? 0} of ${tables_total} tables`]),
    ...(eta_seconds === null ? [] : [`, ${clock(eta_seconds)} left`]),
    ...(phase === null ? [] : [`, ${phase}`]),
  ].join('')
}

/** Also of a job that is queued again: what its last try ended in. */
function troubleLines({ job_id, state, error_code, error_message, error_hint }: ListedJob): string[] {
  if (error_code === null || state === 'done') return []
  const hint = error_hint === null || error_hint === '' ? [] : [printed(`    hint: ${error_hint}`)]
  return [printed(`  #${job_id}: ${error_message ?? ''} (${error_code})`), ...hint]
}

function seconds({ started_at, ended_at }: ListedJob): number | null {
  return started_at === null || ended_at === null ? null : (ended_at.getTime() - started_at.getTime()) / 1000
}
