import type { PostboxError } from '../../errors.js'
import { formatAge } from '../../units.js'
import type { LookedAtLife } from './life-status.js'
import type { StatusItem, StatusWarning } from './status-report.js'
import type { StatusSettings } from './status-settings.js'

/** What a person should look at in a life that goes on. */
export function warningsOf(life: LookedAtLife, settings: StatusSettings): StatusWarning[] {
  return [
    ...ofBases(life, settings),
    ...ofWindow(life, settings),
    ...ofDrill(life, settings),
    ...ofVerify(life, settings),
    ...ofSuspicions(life),
    ...life.partings.map((one) => warn('parted', `${one}, as after a split brain`, PARTED)),
  ]
}

const PARTED = 'See "postbox list --server NAME", which says how far each way reaches: a restore follows one of them.'

/** A server that keyholder.yaml names, and the bucket does not. */
export function nothingStored(file: string): StatusWarning {
  const message = `${file} names it, and nothing of it is stored`
  return crit('nothing_stored', message, 'Look at its worker, and at backup.checks in its database.')
}

/** What is stored of it makes a report fail. */
export function cannotBeTold({ code, message, hint }: PostboxError): StatusWarning {
  return crit('cannot_be_told', `how it stands cannot be told: ${code}: ${message}`, hint)
}

function ofBases({ last_base, base_backups }: LookedAtLife, { baseMaxAgeSeconds }: StatusSettings): StatusWarning[] {
  const found: StatusWarning[] = []
  if (!last_base) {
    const message = 'there is no base backup that can be restored'
    found.push(crit('no_base', message, 'Run "SELECT backup.start_base();" in its database, and look at backup.jobs.'))
  } else if (last_base.age_seconds > baseMaxAgeSeconds) {
    const message = `the last base backup is ${formatAge(last_base.age_seconds)} old, more than ${formatAge(baseMaxAgeSeconds)}`
    found.push(warn('base_age', message, 'Schedule base backups, or look at backup.jobs for why they fail.'))
  }
  for (const item of newerThan(last_base, base_backups)) {
    // What is incomplete may be running.
    if (item.state === 'incomplete') continue
    const what = item.state === 'damaged' ? 'no manifest that can be trusted' : 'not all the WAL that it needs'
    found.push(warn('base_unusable', `base backup ${item.id} has ${what}`, 'See "postbox list --server NAME".'))
  }
  return found
}

function newerThan(last: StatusItem | null, items: readonly StatusItem[]): StatusItem[] {
  return last ? items.slice(0, items.indexOf(last)) : items.filter(({ state }) => state !== 'incomplete').slice(0, 1)
}

function ofWindow(life: LookedAtLife, { quietMaxSeconds }: StatusSettings): StatusWarning[] {
  const { last_base, window, windows, behind_at_most_seconds: behind, quiet_since } = life
  const found: StatusWarning[] = []
  if (last_base && !window) {
    const end = windows.at(-1)
    const to = end ? `: what can be restored ends at ${end.to_lsn}` : ''
    const hint = 'Start a base backup now: until it is stored, what happens there cannot be restored.'
    found.push(crit('window_closed', `no window reaches to the newest WAL${to}`, hint))
  }
  const main = windows.filter(({ timeline }) => timeline === window?.timeline)
  for (const one of main.slice(0, -1)) {
    const next = main[main.indexOf(one) + 1]!
    const message = `WAL is missing behind ${one.to_lsn}: nothing between there and ${next.from_lsn} can be restored`
    found.push(warn('window_broken', message, 'See "postbox verify --server NAME". A later base backup begins anew.'))
  }
  if (behind !== null && behind > quietMaxSeconds) {
    const message = `no WAL was stored for ${formatAge(behind)}, since ${shortTime(quiet_since!)}: it is idle, or its worker does not run`
    found.push(warn('quiet', message, 'Look at backup.status in its database.'))
  }
  return found
}

function ofDrill({ last_drill }: LookedAtLife, { drillMaxAgeSeconds }: StatusSettings): StatusWarning[] {
  const hint = 'Run "postbox drill --server NAME" on a schedule.'
  if (!last_drill) return [warn('drill_none', 'no restore was ever proved', hint)]
  const { ok, age_seconds, backup_id, problem } = last_drill
  if (!ok) {
    const message = `the last drill, of backup ${backup_id}, failed${problem === null ? '' : `: ${problem}`}`
    return [crit('drill_failed', message, 'Run "postbox drill --server NAME", and look at what it says.')]
  }
  if (age_seconds <= drillMaxAgeSeconds) return []
  const message = `the last drill was ${formatAge(age_seconds)} ago, more than ${formatAge(drillMaxAgeSeconds)}`
  return [warn('drill_age', message, hint)]
}

/** Of what is seen whole each time nothing more is asked. */
function ofVerify(
  { last_verify, window, partings }: LookedAtLife,
  { verifyMaxAgeSeconds }: StatusSettings,
): StatusWarning[] {
  const hint = 'Run "postbox verify --server NAME --store" on a schedule.'
  if (last_verify && !last_verify.ok) {
    const { verified_at, problem } = last_verify
    const message = `"postbox verify" found something lost on ${shortTime(verified_at)}: ${problem ?? 'no more is known'}`
    return [crit('verify_failed', message, 'Run "postbox verify --server NAME --store".')]
  }
  if (!window || window.checked === 'listed' || partings.length > 0) return []
  if (!last_verify || window.checked === 'no') {
    return [warn('verify_none', 'its WAL was never looked through for gaps, and is too long for it now', hint)]
  }
  if (last_verify.age_seconds <= verifyMaxAgeSeconds) return []
  const age = formatAge(last_verify.age_seconds)
  const message = `its WAL was last looked through for gaps ${age} ago, more than ${formatAge(verifyMaxAgeSeconds)}`
  return [warn('verify_age', message, hint)]
}

function ofSuspicions({ suspicions }: LookedAtLife): StatusWarning[] {
  const [first, ...others] = suspicions
  if (first === undefined) return []
  const more = others.length === 0 ? '' : `, and ${others.length} more`
  return [warn('suspicious', `suspicious: ${first}${more}`, 'See "postbox list --server NAME".')]
}

const shortTime = (iso: string): string => iso.replace(/\.\d+Z$/, 'Z')

const warn = (name: string, message: string, hint: string): StatusWarning => ({ level: 'warn', name, message, hint })
const crit = (name: string, message: string, hint: string): StatusWarning => ({ level: 'crit', name, message, hint })
