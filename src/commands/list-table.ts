import type { ListedDump } from '../keyholder/dumps/list-dumps.js'
import type { ListedBackup, ListedHome } from '../keyholder/list-server.js'
import type { ListedTimeline } from '../keyholder/list-timelines.js'
import { roundBytes } from './round-bytes.js'
import { table } from './table.js'

const HEADINGS = ['backup', 'label', 'state', 'tli', 'size', 'stored', 'start', 'stop', 'restorable from', 'to']

const DUMP_HEADINGS = ['dump', 'label', 'state', 'holds', 'database', 'size', 'stored', 'snapshot at', 'LSN']

/** So many lines of a kind for each of many servers: timelines add up over the years. */
const BRIEF_TIMELINES = 3
const BRIEF_GAPS = 5

/** What is in the bucket, for a terminal. `brief`: of many servers, so without what is seldom asked for. */
export function describeHomes(homes: readonly ListedHome[], brief: boolean): string {
  if (homes.length === 0) return 'no server has stored anything in this bucket\n'
  return homes.map((home) => describe(home, brief)).join('\n')
}

function describe(home: ListedHome, brief: boolean): string {
  const lines = [`server ${home.server}, system identifier ${home.system_identifier}`]
  if (home.error !== null) return `${lines[0]!}\n  it cannot be listed: ${home.error}\n`
  lines.push(...(home.backups.length === 0 ? ['  no backups'] : table(HEADINGS, home.backups.map(row))))
  if (home.dumps.length > 0) lines.push(...table(DUMP_HEADINGS, home.dumps.map(dumpRow)))
  lines.push(...describeGaps(home, brief), ...describeTimelines(home, brief))
  for (const { timeline, from_lsn, to_lsn, keys } of home.partings) {
    const stretch = from_lsn === to_lsn ? `at ${from_lsn}` : `from ${from_lsn} to ${to_lsn}`
    lines.push(
      `  timeline ${timeline} is stored in two ways ${stretch}, as after a split brain; restore --follow KEY takes one of them:`,
      ...keys.map((key) => `    ${key}`),
    )
  }
  for (const backup of home.backups) for (const one of backup.problems) lines.push(`  ${backup.backup_id}: ${one}`)
  for (const { dump_id, problems, warnings } of home.dumps) {
    lines.push(...[...problems, ...warnings].map((one) => `  ${dump_id}: ${one}`))
  }
  for (const one of home.problems) lines.push(`  ${one}`)
  lines.push(...describeLook(home))
  return lines.join('\n') + '\n'
}

function describeGaps({ server, wal_gaps }: ListedHome, brief: boolean): string[] {
  const shown = brief ? wal_gaps.slice(-BRIEF_GAPS) : wal_gaps
  const older = wal_gaps.length - shown.length
  return [
    ...(older > 0 ? [`  ${older} gaps before these: postbox list --server ${server}`] : []),
    ...shown.map(
      ({ timeline, from_lsn, to_lsn }) => `  gap: WAL of timeline ${timeline} is missing from ${from_lsn} to ${to_lsn}`,
    ),
  ]
}

function describeTimelines({ server, timelines }: ListedHome, brief: boolean): string[] {
  if (timelines.length < 2) return []
  const shown = brief ? timelines.slice(-BRIEF_TIMELINES) : timelines
  const older = timelines.length - shown.length
  return [
    ...(older > 0 ? [`  ${older} timelines before these: postbox list --server ${server}`] : []),
    ...shown.map(describeTimeline),
  ]
}

/** What was not looked for, so that nobody takes its absence for an answer. */
function describeLook({ server, backups, wal_seen, wal_verified_at }: ListedHome): string[] {
  if (wal_seen === 'listed' || backups.length === 0) return []
  const now = `postbox list --server ${server}`
  if (wal_verified_at === null) return [`  gaps in its WAL were not looked for: ${now}`]
  const newer = backups.some(({ window }) => window && (window.checked === 'no' || window.checked_to_at !== null))
  const since = newer ? ', and not in what was stored since' : ''
  const at = wal_verified_at.replace(/\.\d+Z$/, 'Z')
  return [`  gaps in its WAL were last looked for at ${at}${since}: ${now}`]
}

function describeTimeline({ timeline, parent, switch_lsn, from_lsn, to_lsn }: ListedTimeline): string {
  const origin = parent === null ? '' : ` left ${parent} at ${switch_lsn!};`
  const stored = from_lsn === null ? 'no whole segment' : `whole segments from ${from_lsn} to ${to_lsn!}`
  return `  timeline ${timeline} (0x${timeline.toString(16).toUpperCase()}):${origin} ${stored}`
}

function row(backup: ListedBackup): string[] {
  return [
    backup.backup_id,
    backup.label ?? '',
    backup.state,
    String(backup.window?.timeline ?? backup.timeline ?? ''),
    backup.raw_bytes === null ? '' : roundBytes(backup.raw_bytes),
    backup.stored_bytes === null ? '' : roundBytes(backup.stored_bytes),
    backup.start_lsn ?? '',
    backup.stop_lsn ?? '',
    backup.window?.from_at.replace(/\.\d+Z$/, 'Z') ?? '',
    backup.window ? `${backup.window.exact ? '' : '~'}${backup.window.to_at}` : '',
  ]
}

function dumpRow(dump: ListedDump): string[] {
  return [
    dump.dump_id,
    dump.label ?? '',
    dump.state,
    // Masked is what a person must not overlook, also of a part.
    dump.masked ? 'masked' : dump.whole ? 'whole' : dump.whole === null ? '' : 'part',
    dump.database ?? '',
    dump.raw_bytes === null ? '' : roundBytes(dump.raw_bytes),
    dump.stored_bytes === null ? '' : roundBytes(dump.stored_bytes),
    dump.snapshot_at?.replace(/\.\d+Z$/, 'Z') ?? '',
    dump.snapshot_lsn ?? '',
  ]
}
