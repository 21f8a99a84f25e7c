import { execFileSync } from 'node:child_process'
import { chown, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command, InvalidArgumentError, Option } from 'commander'
import type { DrillResult } from '../box/drill-result.js'
import { keyholderConfig } from '../config.js'
import { PostboxError } from '../errors.js'
import { openArchive } from '../keyholder/archive.js'
import { readQueries } from '../keyholder/drill/checks.js'
import { drill } from '../keyholder/drill/drill.js'
import { pickBackup, type Pick } from '../keyholder/drill/pick-backup.js'
import { storeDrill } from '../keyholder/drill/stored-drill.js'
import { fetchWalArguments, ownInvocation, restoreCommandLine } from '../keyholder/restore-command.js'
import { openS3 } from '../keyholder/s3-client.js'
import { parseTarget, type Target } from '../keyholder/target.js'
import { interruptSignal } from './interrupt.js'
import { parseJobs } from './parse-jobs.js'
import { roundBytes } from './round-bytes.js'
import { table } from './table.js'

const help = `
Examples:
  The newest backup, with queries that must each return true:
  $ postbox drill --server db1 --work-dir /srv/drills --sql drill.sql

  As root, any backup, to the end of its stored WAL:
  $ postbox drill --server db1 --backup random --run-as postgres

It needs room for the whole database, and Postgres of its major version. The restored server listens nowhere, archives
nothing, runs no jobs and takes no settings from the backup. Its code runs, though: a database that somebody has taken may hold
any. The server has no S3 key in its environment then, but the user that runs it can read what is that user's: name another
with --run-as, or use a machine and a key that may only read.

The result is kept in the bucket; the issuer passes it on, and backup.drills shows it.

Exit codes: 0 everything was good, 1 something was not.`

interface Options {
  server: string
  backup: Pick
  systemIdentifier?: string
  target: Target
  workDir?: string
  postgresBin?: string
  runAs?: string
  sql?: string
  user: string
  database: string
  set: string[]
  timeout: number
  jobs: number
  keep?: true
  store: boolean
  json?: true
}

/** `postbox drill`: a restore that is carried out to see whether it works. */
export function drillCommand(): Command {
  return new Command('drill')
    .requiredOption('--server <name>', 'the server whose backup it is')
    .option('--backup <id>', 'this backup, "newest" or "random"', 'newest')
    .option('--system-identifier <number>', "which of the server's lives (default: that with the newest backup)")
    .addOption(
      new Option('--target <target>', 'as of "postbox restore"')
        .argParser(parseTarget)
        .default(parseTarget('latest'), 'latest'),
    )
    .option('--work-dir <dir>', 'where to; with room for all of it (default: a temporary directory)')
    .option('--postgres-bin <dir>', "Postgres's programs (default: where packages put them, then the path)")
    .option('--run-as <user>', 'who runs Postgres, when we are root')
    .option('--sql <file>', 'queries that must each return true')
    .option('--user <name>', 'a superuser of the restored server', 'postgres')
    .option('--database <name>', 'where the queries run', 'postgres')
    .option('--set <name=value>', 'a setting of the restored server; may be repeated', addSetting, [])
    .addOption(new Option('--timeout <seconds>', 'how long recovery may take').argParser(parseSeconds).default(86_400))
    .addOption(new Option('--jobs <number>', 'objects to fetch at once').argParser(parseJobs).default(4))
    .option('--keep', 'leave the restored directory there')
    .option('--no-store', 'do not keep the result in the bucket')
    .option('--json', 'print JSON')
    .addHelpText('after', help)
    .action(run)
}

async function run(options: Options): Promise<void> {
  const queries = await readQueries(options.sql ?? null)
  const owner = ownerNamed(options.runAs)
  const config = keyholderConfig()
  const s3 = openS3(config)
  const signal = interruptSignal()
  const own = options.workDir === undefined ? await mkdtemp(join(tmpdir(), 'postbox-')) : null
  if (own !== null && owner) await chown(own, owner.uid, owner.gid)
  try {
    const archive = openArchive(s3, config.bucket, { signal })
    const { server, target, json } = options
    const systemIdentifier = options.systemIdentifier ?? null
    const backupId = await pickBackup(archive, server, systemIdentifier, options.backup)
    const result = await drill(archive, {
      ...options,
      request: { server, systemIdentifier, backupId, target, inclusive: true, timeline: 'latest', follow: null },
      workDir: options.workDir ?? own!,
      owner,
      programs: options.postgresBin ?? null,
      restoreCommand: (plan) => restoreCommandLine(ownInvocation(), fetchWalArguments(config, plan)),
      queries,
      settings: options.set,
      timeoutSeconds: options.timeout,
      keep: options.keep ?? false,
      signal,
      onPhase: (phase) => void (json || process.stderr.write(`${phase} …\n`)),
    })
    const key = options.store ? await storeDrill(s3, config.bucket, result) : null
    process.stdout.write(json ? JSON.stringify(result, null, 1) + '\n' : describe(result, key))
    if (!result.ok) process.exitCode = 1
  } finally {
    s3.destroy()
    if (own !== null && !options.keep) await rm(own, { recursive: true, force: true })
  }
}

function describe(result: DrillResult, key: string | null): string {
  const { backup_id, target, restore_seconds, recovery_seconds, restored_bytes, checks, not_run, problem, ok } = result
  return [
    `backup ${backup_id}, target ${target}`,
    `  restored ${roundBytes(restored_bytes)} in ${restore_seconds.toFixed(1)} s, recovered in ${recovery_seconds.toFixed(1)} s`,
    ...(problem === null ? [] : [`  failed: ${problem}`]),
    ...(checks.length === 0
      ? []
      : table(
          ['', 'check', 'seen'],
          checks.map((one) => [one.ok ? 'ok' : 'BAD', one.name, one.seen]),
        )),
    ...not_run.map((what) => `  not run: ${what}`),
    ok ? 'The backup is good.' : 'The backup could not be proved.',
    ...(key === null ? [] : [`The result is kept as ${key}.`]),
    '',
  ].join('\n')
}

/** Root cannot run Postgres. */
function ownerNamed(name: string | undefined): { uid: number; gid: number } | null {
  if (process.geteuid?.() !== 0) {
    if (name === undefined) return null
    throw new PostboxError('bad_argument', 'only root can run Postgres as somebody else', 'Leave --run-as out.')
  }
  const who = name ?? 'postgres'
  try {
    const id = (option: string) => Number(execFileSync('id', [option, who], { stdio: ['ignore', 'pipe', 'ignore'] }))
    return { uid: id('-u'), gid: id('-g') }
  } catch (cause) {
    const hint = 'Name an unprivileged user with --run-as: Postgres refuses to run as root.'
    throw new PostboxError('bad_argument', `there is no user ${who}`, hint, { cause })
  }
}

function addSetting(text: string, sofar: string[]): string[] {
  if (!/^[A-Za-z_][\w.]*=/.test(text)) throw new InvalidArgumentError('Write it as NAME=VALUE.')
  return [...sofar, text]
}

function parseSeconds(text: string): number {
  if (!/^[1-9]\d{0,6}$/.test(text)) throw new InvalidArgumentError('Use a number of seconds.')
  return Number(text)
}
