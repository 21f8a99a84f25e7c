import { appendFile, chmod, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { startCeph, type Ceph } from '../sandbox/ceph/ceph.js'
import { keyholderEnv, postboxOk, WorkerProcess } from '../sandbox/command.js'
import { sandboxOwned, scratchDir, startPostgres, type SandboxPostgres } from '../sandbox/postgres.js'
import { run } from '../sandbox/run.js'
import { until } from '../sandbox/until.js'
import type { BenchOptions } from './main.js'
import { archivePushCommand, pgBackRestBackup, pgBackRestVersion, setUpPgBackRest } from './pgbackrest.js'
import { recover, type Recovery } from './recovery-time.js'
import type { BenchResult } from './report.js'
import { FILLER_TABLE, writeWal, type WalLoad } from './wal-load.js'

const SEGMENTS = 80
const LEVEL = 3
const LOADS: WalLoad[] = ['messages', 'inserts']
const PATIENCE_MS = 300_000

interface Measured {
  load: WalLoad
  ours: Recovery
  theirs: Recovery | null
}

/** One server that both back up. */
interface Bench {
  postgres: SandboxPostgres
  worker: WorkerProcess
  /** S3 keys and place for Postbox */
  env: Record<string, string>
  /** pgBackRest's, or null without it */
  directory: string | null
}

/** Recovery from Ceph over TLS beside pgBackRest's asynchronous archive-get. */
export async function benchReplay({ runs }: BenchOptions): Promise<BenchResult> {
  const peer = await pgBackRestVersion()
  const postgres = await startPostgres({
    version: 17,
    settings: { max_wal_size: '8GB', checkpoint_timeout: '1h', archive_mode: 'on', archive_command: 'true' },
  })
  const ceph = await startCeph({ buckets: ['postbox', 'peer'] })
  try {
    const bench = await prepare(postgres, ceph, peer !== null)
    const measured: Measured[] = []
    for (const load of LOADS) {
      await backUp(bench)
      await writeWal(postgres, load, SEGMENTS)
      await allStored(bench)
      for (let count = 0; count < runs; count++) measured.push(await measure(bench, load))
    }
    await bench.worker.stop()
    return report(measured, peer)
  } finally {
    await postgres.remove()
    await ceph.stop()
  }
}

export async function prepare(postgres: SandboxPostgres, ceph: Ceph, besidePeer: boolean): Promise<Bench> {
  const env = keyholderEnv({ ...ceph, endpoint: ceph.tlsEndpoint }, 'postbox')
  await postboxOk(['install'], { POSTBOX_DATABASE_URL: postgres.url() })
  const grant = await postboxOk(['grant', '--server', 'bench', '--expires', '2h'], env)
  await postgres.query('select backup.install_grant($1)', [grant])
  await postgres.query("select backup.configure('compression_level', $1)", [String(LEVEL)])
  await postgres.query(FILLER_TABLE)
  const directory = besidePeer ? await preparePeer(postgres, ceph) : null
  const worker = new WorkerProcess({
    POSTBOX_DATABASE_URL: postgres.url(),
    POSTBOX_CA_FILE: ceph.caFile,
    POSTBOX_LOG_LEVEL: 'info',
  })
  await worker.says('streaming WAL')
  return { postgres, worker, env, directory }
}

async function preparePeer(postgres: SandboxPostgres, { tlsEndpoint, accessKey, secretKey }: Ceph): Promise<string> {
  const home = await sandboxOwned(join(await scratchDir('pgbackrest'), 'home'))
  await chmod(home, 0o777)
  const port = Number(new URL(tlsEndpoint).port)
  const repository = { port, bucket: 'peer', accessKey, secretKey, level: LEVEL }
  const directory = await setUpPgBackRest(postgres, repository, home)
  await appendFile(join(directory, 'pgbackrest.conf'), '[global:archive-get]\narchive-async=y\n')
  await run('chmod', ['-R', 'a+rwX', directory])
  await postgres.query(`alter system set archive_command = '${archivePushCommand(directory)}'`)
  await postgres.query('select pg_reload_conf()')
  return directory
}

export async function backUp({ postgres, directory }: Bench): Promise<void> {
  const [job] = await postgres.query<{ job_id: string }>('select backup.start_base() job_id')
  await postgres.query(`call backup.wait(${job!.job_id})`)
  if (!directory) return
  await pgBackRestBackup(directory)
  await run('chmod', ['-R', 'a+rwX', directory])
}

/** Ends the segment and waits until both have it all. */
export async function allStored({ postgres, directory }: Bench): Promise<void> {
  const [end] = await postgres.query<{ lsn: string }>('select pg_switch_wal()::text lsn')
  const status = join(postgres.dataDir, 'pg_wal/archive_status')
  await until(
    'all WAL is stored',
    async () => {
      const [row] = await postgres.query<{ stored: boolean }>(
        'select coalesce(max(write_lsn) >= $1::pg_lsn, false) stored from pg_stat_replication',
        [end!.lsn],
      )
      return row!.stored && (!directory || !(await readdir(status)).some((name) => name.endsWith('.ready')))
    },
    PATIENCE_MS,
  )
}

async function measure({ env, directory }: Bench, load: WalLoad): Promise<Measured> {
  const ours = await scratchDir('ours')
  await postboxOk(['restore', '--server', 'bench', '--data-dir', ours], env)
  const { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY } = env
  const keys = { AWS_ACCESS_KEY_ID: AWS_ACCESS_KEY_ID!, AWS_SECRET_ACCESS_KEY: AWS_SECRET_ACCESS_KEY! }
  const measured = { load, ours: await recover(ours, keys) }
  return { ...measured, theirs: directory ? await recover(await peerRestore(directory), {}) : null }
}

export async function peerRestore(directory: string): Promise<string> {
  const dataDir = await scratchDir('theirs')
  await chmod(dataDir, 0o700)
  const args = [`--config=${join(directory, 'pgbackrest.conf')}`, '--stanza=main', `--pg1-path=${dataDir}`, 'restore']
  await run('pgbackrest', args, { asSandboxUser: true })
  return dataDir
}

const perSecond = ({ segments, replayedSeconds }: Recovery): number => segments / replayedSeconds

function report(measured: readonly Measured[], peer: string | null): BenchResult {
  const ratio = (load: WalLoad) => {
    const ratios = measured.flatMap(({ ours, theirs, ...one }) =>
      theirs && one.load === load ? [perSecond(ours) / perSecond(theirs)] : [],
    )
    const median = ratios.toSorted((a, b) => a - b)[Math.floor(ratios.length / 2)]
    return median === undefined ? null : Number(median.toFixed(2))
  }
  return {
    title: `recovery of ${SEGMENTS} WAL segments from Ceph over TLS`,
    notes: [
      `Postbox beside ${peer ?? 'nothing: pgBackRest was not installed'} (archive-async, process-max=2), both zstd ${LEVEL}, Postgres 17 with fsync, in turn.`,
      'Time: by the log of Postgres, from its start until "redo done", which includes the answer that there is no more WAL. The base backup was restored before.',
      'Messages (pg_logical_emit_message) replay at no cost, so that fetching is the limit; inserts are applied to their table.',
    ],
    goals: [
      { of: 'messages, by the ratio in the middle', value: ratio('messages'), atLeast: 1.5 },
      { of: 'inserts, by the ratio in the middle', value: ratio('inserts'), atLeast: 1.5 },
    ],
    columns: ['WAL', 'Postbox segments/s', 'pgBackRest segments/s', 'ratio', 'Postbox s', 'pgBackRest s'],
    rows: measured.map(({ load, ours, theirs }) => [
      load,
      perSecond(ours).toFixed(1),
      theirs ? perSecond(theirs).toFixed(1) : '–',
      theirs ? (perSecond(ours) / perSecond(theirs)).toFixed(2) : '–',
      ours.replayedSeconds.toFixed(2),
      theirs ? theirs.replayedSeconds.toFixed(2) : '–',
    ]),
    summary: { ratio: ratio('messages'), inserts_ratio: ratio('inserts'), runs: measured },
  }
}
