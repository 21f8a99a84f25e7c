import { Command, Option } from 'commander'
import { checkServerName } from '../box/server-name.js'
import { PostboxError } from '../errors.js'
import type { Archive } from '../keyholder/archive.js'
import { systemIdentifiers } from '../keyholder/stored-backups.js'
import { verifyParts, verifyWal } from '../keyholder/verify/verify-contents.js'
import { verifyBackupWal } from '../keyholder/verify/verify-backup-wal.js'
import { storeVerify, verifyResult } from '../keyholder/verify/stored-verify.js'
import { verifyServerFolder } from '../keyholder/verify/verify-server-folder.js'
import {
  eachOnce,
  verifyHome,
  type Problem,
  type VerifiedFolder,
  type VerifiedHome,
} from '../keyholder/verify/verify-home.js'
import { parseJobs } from './parse-jobs.js'
import { Progress } from './progress.js'
import { roundBytes } from './round-bytes.js'
import { withArchive } from './with-archive.js'

const help = `
Examples:
  By listing alone: is everything there that manifests and WAL names promise?
  $ postbox verify --server db1

  Read and unpack every byte:
  $ postbox verify --server db1 --deep

  Keep the result for "postbox status", below .postbox/verify/ (the S3 key needs s3:PutObject there):
  $ postbox verify --server db1 --store

Exit codes: 0 nothing that was promised is lost (there may be warnings), 1 something is. A base
backup or dump that is gone and was named by the next one is lost, unless "postbox prune" deleted it.`

interface Options {
  server: string
  systemIdentifier?: string
  backup?: string
  deep?: boolean
  store?: boolean
  jobs: number
  json?: true
}

type Verified = VerifiedHome & { deep: boolean }

/** `postbox verify`: whether the archive holds what it promises. */
export function verifyCommand(): Command {
  return new Command('verify')
    .requiredOption('--server <name>', 'the server whose archive it is')
    .option('--system-identifier <number>', "one of the server's lives (default: all)")
    .option('--backup <id>', 'this backup or dump alone (default: all of them, and all WAL)')
    .option('--all', 'all of them (the default)')
    .option('--deep', 'read everything, compare every SHA-256, unpack every frame')
    .addOption(new Option('--jobs <number>', 'objects to read at once').argParser(parseJobs).default(4))
    .option('--store', 'keep the result in the bucket, where "postbox status" finds it; not with --backup')
    .option('--json', 'print JSON')
    .addHelpText('after', help)
    .action(async (options: Options) => {
      if (options.store && options.backup !== undefined) {
        const hint = 'Leave one of the two out.'
        throw new PostboxError('bad_argument', '--store keeps what was found of everything, not of one backup', hint)
      }
      const homes = await withArchive(async (archive, { bucket }, s3) => {
        const startedAt = new Date()
        const found = await verifyAll(archive, options)
        for (const one of options.store ? found : []) {
          await storeVerify(s3, bucket, verifyResult(one, one.deep, startedAt))
        }
        return found
      })
      process.stdout.write(
        options.json ? JSON.stringify({ ok: isSound(homes), servers: homes }, null, 1) + '\n' : describeAll(homes),
      )
      if (!isSound(homes)) process.exitCode = 1
    })
}

const isSound = (homes: readonly Verified[]): boolean =>
  homes.every(({ problems }) => problems.every(({ severity }) => severity === 'warning'))

async function verifyAll(archive: Archive, options: Options): Promise<Verified[]> {
  const { server, systemIdentifier, backup } = options
  const lives = await systemIdentifiers(archive, checkServerName(server))
  const wanted = lives.filter((one) => systemIdentifier === undefined || one === systemIdentifier)
  const homes: Verified[] = []
  for (const one of wanted) homes.push(await verifyOne(archive, { server, systemIdentifier: one }, options))
  if (backup === undefined) homes[0]?.problems.push(...(await verifyServerFolder(archive, server)))
  const having = backup === undefined ? homes : homes.filter(({ objects }) => objects > 0)
  if (having.length > 0) return having
  const what = backup === undefined ? 'nothing' : `no backup or dump ${backup}`
  const hint = 'Run "postbox list" to see what is in the bucket.'
  throw new PostboxError('backup_missing', `${what} is stored for server ${server}`, hint)
}

async function verifyOne(
  archive: Archive,
  home: { server: string; systemIdentifier: string },
  { backup, deep = false, jobs, json }: Options,
): Promise<Verified> {
  const folders: VerifiedFolder[] = []
  const verified = await verifyHome(archive, home, { only: backup ?? null }, (folder) => {
    if (deep) folders.push(folder)
    return Promise.resolve()
  })
  if (!deep) return { ...verified, deep }
  const progress = new Progress('reading', verified.bytes, process.stderr.isTTY && !json)
  const read = (bytes: number) => {
    progress.add(bytes)
  }
  try {
    for (const { id, parts } of folders) verified.problems.push(...(await verifyParts(archive, id, parts, jobs, read)))
    const wal =
      backup === undefined ? verifyWal(archive, home, jobs, read) : verifyBackupWal(archive, home, backup, jobs, read)
    verified.problems.push(...(await wal))
  } finally {
    progress.end()
  }
  return { ...verified, problems: eachOnce(verified.problems), deep }
}

function describeAll(homes: readonly Verified[]): string {
  return homes.map(describe).join('\n')
}

function describe(home: Verified): string {
  const { objects, bytes, backups, dumps, segments, tails, problems, deep } = home
  const errors = problems.filter(({ severity }) => severity === 'error').length
  const how = deep ? 'read and unpacked' : 'by listing alone (--deep reads them)'
  return [
    `server ${home.server}, system identifier ${home.system_identifier}`,
    `  ${objects} objects, ${roundBytes(bytes)}, ${how}`,
    `  whole: ${backups} base backups, ${dumps} dumps; ${segments} WAL segments, ${tails} tails`,
    ...problems.map((one) => `  ${describeProblem(one)}`),
    errors === 0 ? '  nothing that was promised is lost' : `  ${errors} errors: something that was promised is lost`,
    '',
  ].join('\n')
}

const describeProblem = ({ severity, id, problem }: Problem): string =>
  `${severity}: ${id === null ? '' : `${id}: `}${printable(problem)}`

/** A key may hold any character, such as terminal commands. */
// eslint-disable-next-line no-control-regex
const printable = (text: string): string => text.replace(/[\u0000-\u001f\u007f-\u009f]/g, '?')
