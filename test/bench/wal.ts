import { chmod, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { startCeph } from '../sandbox/ceph/ceph.js'
import { keyholderEnv, postboxOk, WorkerProcess } from '../sandbox/command.js'
import { sandboxOwned, scratchDir, startPostgres, type SandboxPostgres } from '../sandbox/postgres.js'
import { run } from '../sandbox/run.js'
import { until } from '../sandbox/until.js'
import type { BenchOptions } from './main.js'
import { archivePushCommand, pgBackRestVersion, setUpPgBackRest } from './pgbackrest.js'
import { processUse, type ProcessUse } from './process-tree.js'
import type { BenchResult } from './report.js'

const SEGMENTS = 80
const LEVEL = 3

/** How hard both compress: alike, or each as it is installed. */
const SETTINGS = [
  { name: 'both zstd 3', level: String(LEVEL), peerOptions: [] },
  { name: 'own defaults (zstd 1, gz 6)', level: null, peerOptions: ['--compress-type=gz', '--compress-level=6'] },
] as const

/** The backlog is stored: in how many seconds, and what of the worker's. */
interface Stored extends ProcessUse {
  seconds: number
}

type Settings = (typeof SETTINGS)[number]

interface Measured {
  settings: Settings
  ours: Stored
  /** seconds */
  theirs: number | null
}
const PATIENCE_MS = 300_000

/** A backlog of finished segments to Ceph over TLS beside pgBackRest's asynchronous archiving. */
export async function benchWal({ runs }: BenchOptions): Promise<BenchResult> {
  const peer = await pgBackRestVersion()
  const postgres = await startPostgres({
    // The newest that both Debian's pgBackRest and our own builds know.
    version: peer !== null && peerKnows17(peer) ? 17 : 15,
    settings: { max_wal_size: '8GB', checkpoint_timeout: '1h', archive_mode: 'on', archive_command: 'false' },
  })
  const ceph = await startCeph({ buckets: ['postbox', 'peer'] })
  try {
    await prepare(postgres, keyholderEnv({ ...ceph, endpoint: ceph.tlsEndpoint }, 'postbox'))
    const port = Number(new URL(ceph.tlsEndpoint).port)
    const repository = { port, bucket: 'peer', accessKey: ceph.accessKey, secretKey: ceph.secretKey, level: LEVEL }
    const directory = peer && (await setUpPgBackRest(postgres, repository, await peerHome()))
    if (directory) await run('chmod', ['-R', 'a+rwX', directory])
    const measured: Measured[] = []
    for (let count = 0; count < runs; count++) {
      for (const settings of SETTINGS) {
        await postgres.query("select backup.configure('compression_level', $1)", [settings.level])
        await slotFromHere(postgres, ceph.caFile)
        await writeBacklog(postgres)
        const ours = await postboxStores(postgres, ceph.caFile)
        const theirs = directory ? await pgBackRestSeconds(postgres, directory, settings.peerOptions) : null
        measured.push({ settings, ours, theirs })
      }
    }
    return report(measured, peer)
  } finally {
    await postgres.remove()
    await ceph.stop()
  }
}

async function peerHome(): Promise<string> {
  const directory = await sandboxOwned(join(await scratchDir('pgbackrest'), 'home'))
  await chmod(directory, 0o777)
  return directory
}

async function prepare(postgres: SandboxPostgres, env: Record<string, string>): Promise<void> {
  await postboxOk(['install'], { POSTBOX_DATABASE_URL: postgres.url() })
  const grant = await postboxOk(['grant', '--server', 'bench', '--expires', '2h'], env)
  await postgres.query('select backup.install_grant($1)', [grant])
  await postgres.query('create table filler (id bigint, payload text)')
}

/** The worker has stored all there is, and is stopped again: its slot keeps what comes now. */
async function slotFromHere(postgres: SandboxPostgres, caFile: string): Promise<void> {
  const worker = startWorker(postgres, caFile)
  await worker.says('streaming WAL')
  const [end] = await postgres.query<{ lsn: string }>('select pg_switch_wal()::text lsn')
  await flushed(postgres, end!.lsn)
  await worker.stop()
}

function startWorker(postgres: SandboxPostgres, caFile: string): WorkerProcess {
  return new WorkerProcess({ POSTBOX_DATABASE_URL: postgres.url(), POSTBOX_CA_FILE: caFile, POSTBOX_LOG_LEVEL: 'info' })
}

async function flushed(postgres: SandboxPostgres, lsn: string): Promise<void> {
  await until(
    `WAL up to ${lsn} is stored`,
    async () => {
      const [row] = await postgres.query<{ stored: boolean }>(
        'select coalesce(max(flush_lsn) >= $1::pg_lsn, false) stored from pg_stat_replication',
        [lsn],
      )
      return row!.stored
    },
    PATIENCE_MS,
  )
}

async function writeBacklog(postgres: SandboxPostgres): Promise<void> {
  const [begin] = await postgres.query<{ lsn: string }>('select pg_current_wal_lsn()::text lsn')
  for (let written = 0; written < SEGMENTS;) {
    await postgres.query(
      `insert into filler select n, md5(n::text) || md5(random()::text) || repeat(md5((n / 7)::text), 5)
       from generate_series(1, 100000) n`,
    )
    const [row] = await postgres.query<{ segments: number }>(
      "select ((pg_current_wal_lsn() - $1::pg_lsn) / pg_size_bytes(current_setting('wal_segment_size')))::int segments",
      [begin!.lsn],
    )
    written = row!.segments
  }
}

async function postboxStores(postgres: SandboxPostgres, caFile: string): Promise<Stored> {
  const [end] = await postgres.query<{ lsn: string }>('select pg_switch_wal()::text lsn')
  const began = performance.now()
  const worker = startWorker(postgres, caFile)
  await flushed(postgres, end!.lsn)
  const seconds = (performance.now() - began) / 1000
  const use = await processUse(worker.pid)
  await worker.stop()
  return { seconds, ...use }
}

async function pgBackRestSeconds(
  postgres: SandboxPostgres,
  directory: string,
  options: readonly string[],
): Promise<number> {
  const status = join(postgres.dataDir, 'pg_wal/archive_status')
  const ready = async () => (await readdir(status)).filter((name) => name.endsWith('.ready'))
  const backlog = (await ready()).length
  const began = performance.now()
  const command = [archivePushCommand(directory), ...options].join(' ')
  await postgres.query(`alter system set archive_command = '${command}'`)
  await postgres.query('select pg_reload_conf()')
  await until('pgBackRest has archived the backlog', async () => (await ready()).length === 0, PATIENCE_MS)
  const seconds = (performance.now() - began) / 1000
  await postgres.query("alter system set archive_command = 'false'")
  await postgres.query('select pg_reload_conf()')
  // The first round's backlog holds what was written before, too.
  return (seconds / backlog) * SEGMENTS
}

/** Since 2.54. */
function peerKnows17(version: string): boolean {
  const [major, minor] = /(\d+)\.(\d+)/.exec(version)!.slice(1).map(Number)
  return major! > 2 || minor! >= 54
}

function report(measured: readonly Measured[], peer: string | null): BenchResult {
  const perSecond = (seconds: number) => SEGMENTS / seconds
  const ratio = (settings: Settings) => {
    const ratios = measured.flatMap((one) =>
      one.settings === settings && one.theirs !== null ? [one.theirs / one.ours.seconds] : [],
    )
    const middle = ratios.toSorted((a, b) => a - b)[Math.floor(ratios.length / 2)]
    return middle === undefined ? null : Number(middle.toFixed(2))
  }
  return {
    title: `a backlog of ${SEGMENTS} WAL segments to Ceph over TLS`,
    notes: [
      `Postbox beside ${peer ?? 'nothing: pgBackRest was not installed'} (archive-async, process-max=2), in turn.`,
      'Postbox: from the start of the worker process until the last byte is reported as flushed. pgBackRest: from the reload until the last .ready file is gone.',
      "CPU time and the most that was resident are the worker's, from its start.",
      'Server, S3 and both archivers share the cores. With both at zstd 3 they are busy throughout, so that the ratio is one of CPU time, of which S3 takes a third.',
    ],
    goals: [
      { of: `${SETTINGS[0].name}, by the ratio in the middle`, value: ratio(SETTINGS[0]), atLeast: 2 },
      { of: `${SETTINGS[1].name}, by the ratio in the middle`, value: ratio(SETTINGS[1]), atLeast: 2 },
    ],
    columns: ['compression', 'Postbox segments/s', 'pgBackRest segments/s', 'ratio', 'Postbox CPU s', 'Postbox MiB'],
    rows: measured.map(({ settings, ours, theirs }) => [
      settings.name,
      perSecond(ours.seconds).toFixed(1),
      theirs === null ? '–' : perSecond(theirs).toFixed(1),
      theirs === null ? '–' : (theirs / ours.seconds).toFixed(2),
      ours.cpuSeconds.toFixed(1),
      String(Math.round(ours.peakBytes / 1024 ** 2)),
    ]),
    summary: { ratio: ratio(SETTINGS[0]), own_defaults_ratio: ratio(SETTINGS[1]), runs: measured },
  }
}
