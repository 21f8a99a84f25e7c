import { spawn } from 'node:child_process'
import { mkdir, readFile, stat } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { Command, Option } from 'commander'
import { keyholderConfig, type KeyholderConfig } from '../config.js'
import { PostboxError } from '../errors.js'
import { parseDuration } from '../units.js'
import { postmasterPid, Spool } from '../keyholder/spool.js'
import type { WalChoice } from '../keyholder/wal-choice.js'
import { interruptSignal } from './interrupt.js'

const help = `
"postbox restore" writes it into the data directory as restore_command. By hand:
  restore_command = 'postbox fetch-wal --server db1 --system-identifier 7412345678901234567 %f %p'

Exit codes: 0 the file is there; 1 the archive does not have it, which is the normal end of recovery; 255 anything else,
by which Postgres stops recovery rather than end it early. The S3 key comes by the AWS SDK's usual chain, so the user
that runs Postgres must have one: in its environment, or in its ~/.aws/credentials.`

interface Options {
  server: string
  systemIdentifier: string
  bucket?: string
  endpoint?: string
  region?: string
  pathStyle?: boolean
  caFile?: string
  spool?: string
  ahead: string
  retryFor: string
  absentExit: string
  prefetchAfter?: string
  segmentBytes?: string
  choice?: string
}

/** More would wait for what is fetched. */
const MAX_THREADS = 4
const MAX_SPOOL_BYTES = 256 * 1024 * 1024
const SEGMENT = /^[0-9A-F]{24}$/

/** `postbox fetch-wal`: Postgres's restore_command. */
export function fetchWalCommand(): Command {
  return new Command('fetch-wal')
    .argument('[file]', 'name of the WAL file, %f')
    .argument('[path]', 'where to put it, %p')
    .requiredOption('--server <name>', 'the server whose WAL it is')
    .requiredOption('--system-identifier <number>', 'its system identifier')
    .option('--bucket <name>', 'the bucket; with it, no POSTBOX_* variable is read')
    .option('--endpoint <url>', 'an S3 service other than AWS')
    .option('--region <name>', "the bucket's region")
    .option('--path-style', 'put the bucket into the path')
    .option('--ca-file <file>', 'certificates to trust')
    .option('--spool <dir>', 'fetch the next segments into this directory, ahead of time')
    .option('--ahead <number>', 'segments to keep in the spool', '8')
    .option('--retry-for <time>', 'how long to try again while the archive does not answer', '60s')
    .option(
      '--choice <file>',
      'which objects to take, where two servers wrote the same WAL: "postbox restore" wrote it',
    )
    .addOption(new Option('--absent-exit <code>', 'exit code in place of 1').default('1').hideHelp())
    .addOption(new Option('--prefetch-after <file>', 'be the prefetcher').hideHelp())
    .addOption(new Option('--segment-bytes <number>', 'size of a segment, for the prefetcher').hideHelp())
    .addHelpText('after', help)
    .action(run)
}

async function run(file: string | undefined, path: string | undefined, options: Options): Promise<void> {
  if (options.prefetchAfter !== undefined) return runPrefetcher(options.prefetchAfter, options)
  if (file === undefined || path === undefined) {
    throw new PostboxError('bad_argument', 'the file and its place are missing', 'Write: postbox fetch-wal … %f %p.')
  }
  const spool = options.spool !== undefined && SEGMENT.test(file) ? new Spool(options.spool) : null
  if (spool && (await takeFromPrefetcher(spool, file, path))) return
  const bytes = await fetchNow(file, path, options)
  if (bytes === null) {
    process.exitCode = Number(options.absentExit)
    return
  }
  if (spool) await keepPrefetching(spool, file, bytes)
}

/** Waits while the prefetcher is at this very segment. Loads nothing, so that it starts fast. */
async function takeFromPrefetcher(spool: Spool, file: string, path: string): Promise<boolean> {
  const signal = interruptSignal()
  for (;;) {
    if (await spool.take(file, path)) return true
    signal.throwIfAborted()
    if (!(await spool.isFetching(file))) return spool.take(file, path)
    await delay(5)
  }
}

async function fetchNow(file: string, path: string, options: Options): Promise<number | null> {
  const { fetchWalFile } = await import('../keyholder/fetch-wal.js')
  const warn = (text: string) => void process.stderr.write(`postbox: warning: ${text}\n`)
  const choice = await readChoice(options)
  return withArchive(options, (archive, home) => fetchWalFile({ archive, home, name: file, warn, choice }, path))
}

async function readChoice({ choice }: Options): Promise<WalChoice | null> {
  if (choice === undefined) return null
  const { WalChoice: Choice } = await import('../keyholder/wal-choice.js')
  return Choice.parse(await readFile(choice, 'utf8'))
}

/** Tells the prefetcher where Postgres is, and starts it when there is none and a server runs here. */
async function keepPrefetching(spool: Spool, file: string, segmentBytes: number): Promise<void> {
  if ((await postmasterPid('.')) === null) return
  try {
    if (!(await stat(spool.directory).catch(() => null))) await mkdir(spool.directory, { mode: 0o700 })
    await spool.want(file)
    if (await spool.hasPrefetcher()) return
  } catch (error) {
    // The segment is in place; that the next one will be slower is no failure.
    process.stderr.write(`postbox: warning: no prefetching: ${(error as Error).message}\n`)
    return
  }
  const words = [...process.argv.slice(2), '--prefetch-after', file, '--segment-bytes', String(segmentBytes)]
  const child = spawn(process.execPath, [...process.execArgv, process.argv[1]!, ...words], {
    detached: true,
    stdio: 'ignore',
  })
  child.on('error', () => undefined)
  child.unref()
}

async function runPrefetcher(after: string, options: Options): Promise<void> {
  const { UnpackThreads } = await import('../keyholder/unpack-threads.js')
  // They start while the rest is loaded.
  const threads = new UnpackThreads(Math.min(MAX_THREADS, availableParallelism()))
  const { prefetch } = await import('../keyholder/prefetcher.js')
  const segmentBytes = Number(options.segmentBytes)
  const ahead = Math.max(2, Math.min(Number(options.ahead), Math.floor(MAX_SPOOL_BYTES / segmentBytes)))
  const spool = new Spool(options.spool!)
  const choice = await readChoice(options)
  try {
    await withArchive(options, (archive, home) =>
      prefetch({ archive, home, spool, threads, dataDir: '.', after, segmentBytes, ahead, choice }),
    )
  } finally {
    await threads.close()
  }
}

type Work<T> = (
  archive: import('../keyholder/archive.js').Archive,
  home: import('../box/key-names.js').Home,
) => Promise<T>

async function withArchive<T>(options: Options, work: Work<T>): Promise<T> {
  const { openArchive } = await import('../keyholder/archive.js')
  const { openS3 } = await import('../keyholder/s3-client.js')
  const config = configOf(options)
  const s3 = openS3(config)
  try {
    const patienceMs = parseDuration(options.retryFor) * 1000
    const archive = openArchive(s3, config.bucket, { signal: interruptSignal(), patienceMs })
    return await work(archive, { server: options.server, systemIdentifier: options.systemIdentifier })
  } finally {
    s3.destroy()
  }
}

function configOf({ bucket, endpoint, region, pathStyle, caFile }: Options): KeyholderConfig {
  if (bucket === undefined) return keyholderConfig()
  return {
    bucket,
    endpoint: endpoint ?? null,
    region: region ?? 'us-east-1',
    pathStyle: pathStyle ?? false,
    caFile: caFile ?? null,
  }
}
