import { access } from 'node:fs/promises'
import { join } from 'node:path'
import { Command, InvalidArgumentError, Option } from 'commander'
import type { KeyholderConfig } from '../config.js'
import type { Archive } from '../keyholder/archive.js'
import { parseFollow, type Follow } from '../keyholder/follow.js'
import { prepareRestore, type PreparedRestore } from '../keyholder/prepare-restore.js'
import type { TargetAction } from '../keyholder/recovery-settings.js'
import { fetchWalArguments, ownInvocation, restoreCommandLine } from '../keyholder/restore-command.js'
import { restore, storedBytes } from '../keyholder/restore.js'
import {
  formatTarget,
  formatTime,
  parseTarget,
  parseTargetTimeline,
  type Target,
  type TargetTimeline,
} from '../keyholder/target.js'
import { PostboxError } from '../errors.js'
import { formatLsn } from '../wal/lsn.js'
import { parseJobs } from './parse-jobs.js'
import { Progress } from './progress.js'
import { roundBytes } from './round-bytes.js'
import { withArchive } from './with-archive.js'

const help = `
Examples:
  Everything that is stored:
  $ postbox restore --server db1 --data-dir /var/lib/postgresql/18/main
  $ pg_ctl -D /var/lib/postgresql/18/main start

  As it was at a moment, a tablespace put elsewhere:
  $ postbox restore --server db1 --data-dir /srv/pg --target time=2026-11-22T10:00:00Z --tablespace 16401=/srv/fast

The directory starts with plain pg_ctl. Postgres then fetches WAL by itself ("postbox fetch-wal"), so the user that runs
it needs an S3 key that may read: in its environment, or in its ~/.aws/credentials.`

interface Options {
  server: string
  dataDir: string
  systemIdentifier?: string
  target: Target
  targetTimeline: TargetTimeline
  targetAction: TargetAction
  exclusive?: true
  backup?: string
  follow?: Follow
  tablespace: Map<string, string>
  jobs: number
  dryRun?: true
  json?: true
}

/** `postbox restore`: leaves a data directory that starts with plain pg_ctl and recovers to the target. */
export function restoreCommand(): Command {
  return new Command('restore')
    .requiredOption('--server <name>', 'the server whose backup it is')
    .requiredOption('--data-dir <dir>', 'where to; empty or not there yet')
    .addOption(
      new Option('--target <target>', 'latest, immediate, time=…, lsn=…, xid=… or name=…')
        .argParser(parseTarget)
        .default(parseTarget('latest'), 'latest'),
    )
    .option('--exclusive', 'stop right before the target, not right after it')
    .addOption(
      new Option(
        '--target-timeline <timeline>',
        "latest, current (the backup's own), its number, or 0x and its number as in file names",
      )
        .argParser(parseTargetTimeline)
        .default('latest'),
    )
    .addOption(
      new Option('--target-action <action>', 'what Postgres does at the target')
        .choices(['promote', 'pause', 'shutdown'])
        .default('promote'),
    )
    .option('--backup <id>', 'this backup (default: the newest that can reach the target)')
    .addOption(
      new Option(
        '--follow <key>',
        'where two servers wrote the same WAL, the one that wrote this object (default: what was stored first)',
      ).argParser(parseFollow),
    )
    .option('--system-identifier <number>', "which of the server's lives (default: that with the newest backup)")
    .option('--tablespace <oid=dir>', 'put a tablespace elsewhere; may be repeated', addTablespace, new Map())
    .addOption(new Option('--jobs <number>', 'objects to fetch at once').argParser(parseJobs).default(4))
    .option('--dry-run', 'check everything and write nothing')
    .option('--json', 'print JSON')
    .addHelpText('after', help)
    .action(async (options: Options) => {
      await withArchive((archive, config) => run(archive, config, options))
    })
}

async function run(archive: Archive, config: KeyholderConfig, options: Options): Promise<void> {
  const prepared = await prepareRestore(archive, requestOf(options), options.dataDir, options.tablespace)
  const startedAt = performance.now()
  let rawBytes = 0
  if (!options.dryRun) {
    const progress = new Progress('restoring', storedBytes(prepared.located), process.stderr.isTTY && !options.json)
    const restoreLine = restoreCommandLine(ownInvocation(), fetchWalArguments(config, prepared.plan))
    try {
      await restore(archive, {
        ...prepared,
        action: options.targetAction,
        restoreCommand: restoreLine,
        jobs: options.jobs,
        onProgress: (stored, raw) => {
          rawBytes += raw
          progress.add(stored)
        },
      })
    } finally {
      progress.end()
    }
  }
  const seconds = (performance.now() - startedAt) / 1000
  const notes = [...prepared.plan.notes, ...(await notesOn(prepared, options))]
  const text = options.json
    ? JSON.stringify(report(prepared, options, rawBytes, seconds, notes), null, 1) + '\n'
    : describe(prepared, options, rawBytes, seconds, notes)
  process.stdout.write(text)
}

function requestOf(options: Options) {
  const { server, target, targetTimeline, exclusive = false } = options
  if (exclusive && !['time', 'lsn', 'xid'].includes(target.kind)) {
    throw new PostboxError('bad_argument', '--exclusive goes with time=, lsn= and xid= only', 'Leave it out.')
  }
  const { follow, systemIdentifier = follow?.home.systemIdentifier } = options
  if (follow && (follow.home.server !== server || follow.home.systemIdentifier !== systemIdentifier)) {
    const hint = 'Copy a whole key from what "postbox list" says of two servers.'
    throw new PostboxError('bad_argument', `${follow.key} is not of server ${server}, ${systemIdentifier!}`, hint)
  }
  return {
    server,
    systemIdentifier: systemIdentifier ?? null,
    backupId: options.backup ?? null,
    target,
    inclusive: !exclusive,
    timeline: targetTimeline,
    follow: follow ?? null,
  }
}

async function notesOn({ dataDir, owner, located }: PreparedRestore, { dryRun }: Options): Promise<string[]> {
  const notes = located.storedOver.map(
    (key) => `suspicious: other bytes were stored over ${key} later; its first version is taken`,
  )
  if (owner?.uid === 0) notes.push(`${dataDir} belongs to root, as which Postgres refuses to run: chown it`)
  for (const file of dryRun ? [] : ['postgresql.conf', 'pg_hba.conf']) {
    const isThere = await access(join(dataDir, file)).then(
      () => true,
      () => false,
    )
    if (!isThere) notes.push(`${file} is not in the backup, because it lay elsewhere on the server: put one there`)
  }
  return notes
}

function report(prepared: PreparedRestore, options: Options, rawBytes: number, seconds: number, notes: string[]) {
  const { plan, dataDir, places, located } = prepared
  return {
    server: plan.home.server,
    system_identifier: plan.home.systemIdentifier,
    backup_id: plan.backup.backupId,
    data_dir: dataDir,
    tablespaces: places.filter((one) => one.linked).map((one) => ({ oid: one.tablespace, directory: one.directory })),
    target: formatTarget(plan.target),
    timeline: plan.timeline,
    reachable_lsn: formatLsn(plan.reachableLsn),
    last_commit_at: plan.lastCommitMicros === null ? null : formatTime(plan.lastCommitMicros),
    stored_bytes: storedBytes(located),
    raw_bytes: options.dryRun ? null : rawBytes,
    seconds: options.dryRun ? null : Number(seconds.toFixed(3)),
    dry_run: options.dryRun ?? false,
    notes,
  }
}

function describe(prepared: PreparedRestore, options: Options, rawBytes: number, seconds: number, notes: string[]) {
  const { plan, dataDir, places, located } = prepared
  const { backup_id, stopped_at } = plan.backup.manifest
  const stored = roundBytes(storedBytes(located))
  const end = plan.lastCommitMicros === null ? '' : `, last commit ${formatTime(plan.lastCommitMicros)}`
  const done = `restored backup ${backup_id} to ${dataDir}: ${roundBytes(rawBytes)} from ${stored} in ${seconds.toFixed(1)} s`
  const lines = [
    options.dryRun ? `would restore backup ${backup_id} of ${stopped_at} (${stored}) to ${dataDir}` : done,
    ...places.filter((one) => one.linked).map((one) => `tablespace ${one.tablespace}: ${one.directory}`),
    `recovery target: ${formatTarget(plan.target)}, on timeline ${plan.timeline}`,
    `stored WAL reaches to ${formatLsn(plan.reachableLsn)}${end}`,
    ...notes.map((note) => `note: ${note}`),
    ...(options.dryRun ? [] : [`next: start it as the owner of the directory: pg_ctl -D ${dataDir} start`]),
  ]
  return lines.join('\n') + '\n'
}

function addTablespace(text: string, sofar: Map<string, string>): Map<string, string> {
  const match = /^(\d+)=(.+)$/s.exec(text)
  if (!match) throw new InvalidArgumentError('Write it as OID=DIR, such as 16401=/srv/fast.')
  return new Map(sofar).set(match[1]!, match[2]!)
}
