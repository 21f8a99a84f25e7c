import { formatLsn } from '../wal/lsn.js'
import { formatTime, type Target } from './target.js'

/** What Postgres does when it has reached the target. */
export type TargetAction = 'promote' | 'pause' | 'shutdown'

/** How recovery is to run. */
export interface RecoverySettings {
  restoreCommand: string
  recoveryEndCommand: string
  target: Target
  inclusive: boolean
  timeline: number | 'current'
  action: TargetAction
  /** which restore it is: the catalog's worker knows by it that the server is not the one that was backed up */
  restored: string
}

/** A setting of ours: it stays when recovery is over. */
const RESTORED = 'postbox.restored'

const TARGETS = [
  'recovery_target',
  'recovery_target_name',
  'recovery_target_time',
  'recovery_target_xid',
  'recovery_target_lsn',
]
const COMMENT = '# Recovery, by "postbox restore". Postgres reads it only while recovery.signal is there.'
const OTHERS = [
  'recovery_target_inclusive',
  'recovery_target_timeline',
  'recovery_target_action',
  'restore_command',
  'recovery_end_command',
  'archive_cleanup_command',
  RESTORED,
]

/**
 * The text of postgresql.auto.conf for a recovery: what it was, less all that concerns recovery, plus ours.
 *
 * An earlier restore may have left a target of another kind, here or in postgresql.conf, and Postgres refuses to start
 * with two; so every kind is set, ours last.
 */
export function recoveryConfiguration(previous: string, settings: RecoverySettings): string {
  const kept = previous.split('\n').filter((line) => !concernsRecovery(line))
  while (kept.at(-1) === '') kept.pop()
  const lines = settingLines(settings).map(([name, value]) => `${name} = ${quote(value)}`)
  return [...kept, COMMENT, ...lines, ''].join('\n')
}

function settingLines(settings: RecoverySettings): [name: string, value: string][] {
  const target = targetSetting(settings.target)
  return [
    ['restore_command', settings.restoreCommand],
    ['recovery_end_command', settings.recoveryEndCommand],
    ['archive_cleanup_command', ''],
    ['recovery_target_timeline', String(settings.timeline)],
    ['recovery_target_action', settings.action],
    ['recovery_target_inclusive', settings.inclusive ? 'on' : 'off'],
    ...TARGETS.filter((name) => name !== target?.[0]).map((name): [string, string] => [name, '']),
    ...(target ? [target] : []),
    [RESTORED, settings.restored],
  ]
}

function targetSetting(target: Target): [name: string, value: string] | null {
  switch (target.kind) {
    case 'latest':
      return null
    case 'immediate':
      return ['recovery_target', 'immediate']
    case 'time':
      // When Postgres reads its settings it does not know time zones by name yet, and Z is one.
      return ['recovery_target_time', formatTime(target.micros).replace('T', ' ').replace('Z', '+00')]
    case 'lsn':
      return ['recovery_target_lsn', formatLsn(target.lsn)]
    case 'xid':
      return ['recovery_target_xid', target.xid]
    case 'name':
      return ['recovery_target_name', target.name]
  }
}

function concernsRecovery(line: string): boolean {
  if (line === COMMENT) return true
  const name = /^\s*([A-Za-z_.]+)/.exec(line)?.[1]?.toLowerCase()
  return name !== undefined && [...TARGETS, ...OTHERS].includes(name)
}

/** A value as Postgres's configuration files write it: a quote is doubled, a backslash begins an escape. */
function quote(value: string): string {
  return `'${value.replaceAll('\\', '\\\\').replaceAll("'", "''").replaceAll('\n', '\\n')}'`
}
