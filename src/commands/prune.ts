import { Command, Option } from 'commander'
import { keyholderConfig, keyholderFile } from '../config.js'
import { readRetention } from '../keyholder/known-servers.js'
import { openDeletableArchive } from '../keyholder/prune/deletable-archive.js'
import { prune } from '../keyholder/prune/prune.js'
import type { LifeReport, PruneReport, ReportedDecision } from '../keyholder/prune/prune-report.js'
import { openS3 } from '../keyholder/s3-client.js'
import { interruptSignal } from './interrupt.js'
import { roundBytes } from './round-bytes.js'
import { table } from './table.js'

const help = `
Examples:
  What would be kept and deleted, and why:
  $ postbox prune --server db1

  Do it:
  $ postbox prune --server db1 --confirm

What to keep stands in keyholder.yaml (POSTBOX_KEYHOLDER_FILE), at the server, under "retention". The S3 key needs what a
reader needs, s3:DeleteObject, s3:DeleteObjectVersion and s3:GetObjectRetention, and s3:PutObject below .postbox/ for the plan.

Exit codes: 0 done, or nothing to do; what Object Lock keeps is no error. 1 something failed: run the same again.`

interface Options {
  server: string
  confirm?: boolean
  drop: string[]
  json?: true
}

/** `postbox prune`: delete what the retention no longer keeps. */
export function pruneCommand(): Command {
  return new Command('prune')
    .requiredOption('--server <name>', 'the server whose archive it is')
    .addOption(new Option('--dry-run', 'only say what would be done (the default)').conflicts('confirm'))
    .option('--confirm', 'do it')
    .option(
      '--drop <id>',
      'delete this backup or dump too, be it suspicious; never the last good one (can be repeated)',
      (id: string, ids: string[]) => [...ids, id],
      [],
    )
    .option('--json', 'print JSON')
    .addHelpText('after', help)
    .action(async ({ server, confirm = false, drop, json }: Options) => {
      const config = keyholderConfig()
      const retention = await readRetention(keyholderFile(), server)
      const s3 = openS3(config)
      try {
        const archive = openDeletableArchive(s3, config.bucket, { signal: interruptSignal() })
        const report = await prune(archive, { server, retention, drop, confirm })
        process.stdout.write(json ? JSON.stringify(report, null, 1) + '\n' : describe(report))
      } finally {
        s3.destroy()
      }
    })
}

const HEADINGS = ['', 'what', 'id', 'stored', 'size', 'because']

function describe({ server, confirmed, lives, notes, totals }: PruneReport): string {
  const deleted = lives.reduce((sum, { deleted_objects }) => sum + deleted_objects, 0)
  const bytes = lives.reduce((sum, { deleted_bytes }) => sum + deleted_bytes, 0)
  const planned = `${totals.delete_objects} objects, ${roundBytes(totals.delete_bytes)}`
  return [
    ...lives.flatMap((life) => describeLife(server, life, confirmed)),
    ...notes,
    confirmed
      ? `deleted ${deleted} objects, ${roundBytes(bytes)}`
      : `to delete: ${planned}; to keep: ${roundBytes(totals.keep_bytes)}. Nothing was deleted: --confirm does it`,
    '',
  ].join('\n')
}

function describeLife(server: string, life: LifeReport, confirmed: boolean): string[] {
  const lines = [`server ${server}, system identifier ${life.system_identifier}`]
  if (life.decisions.length > 0) lines.push(...table(HEADINGS, life.decisions.map(row)))
  for (const { timeline, from_lsn, to_lsn } of life.kept_wal) {
    lines.push(`  keep WAL of timeline ${timeline} from ${from_lsn} ${to_lsn === null ? 'on' : `to ${to_lsn}`}`)
  }
  const verb = confirmed ? 'deleted' : 'delete'
  for (const { kind, timeline, because, objects, bytes } of life.deletions) {
    if (timeline === null) continue
    lines.push(`  ${verb} ${objects} ${kind}s of timeline ${timeline}, ${roundBytes(bytes)}: ${because}`)
  }
  for (const { key, because } of life.retained) lines.push(`  stays: ${key}: ${because}`)
  for (const key of life.open_plans) lines.push(`  ${confirmed ? 'finished' : 'to finish'}: ${key}`)
  if (life.strangers_count > 0) {
    lines.push(`  ${life.strangers_count} objects that no manifest and no WAL name accounts for; they stay:`)
    lines.push(...life.strangers.slice(0, 10).map((key) => `    ${printable(key)}`))
  }
  for (const note of life.notes) lines.push(`  ${printable(note)}`)
  return lines
}

function row({ kind, id, stored_at, bytes, action, because, report }: ReportedDecision): string[] {
  const what = kind === 'base' ? 'backup' : 'dump'
  const look = report ? 'LOOK: ' : ''
  return [action, what, id, stored_at.replace(/\.\d+Z$/, 'Z'), roundBytes(bytes), look + because.join('; ')]
}

/** Keys are made by whoever has a grant, so that a terminal must not take them for commands. */
// eslint-disable-next-line no-control-regex
const printable = (text: string): string => text.replace(/[\u0000-\u001f\u007f-\u009f]/g, '?')
