import { setTimeout as delay } from 'node:timers/promises'
import { startCeph } from '../sandbox/ceph/ceph.js'
import { keyholderEnv, postboxOk, WorkerProcess } from '../sandbox/command.js'
import { startPostgres, type SandboxPostgres } from '../sandbox/postgres.js'
import { fill } from './base.js'
import { caughtUp, watchDelay, type Delay } from './delay.js'
import type { BenchOptions } from './main.js'
import { fillPgbench, findPgbench, pgbench, type PgbenchResult } from './pgbench.js'
import type { BenchResult } from './report.js'

/** Commits a second that pgbench keeps to: what is measured is the delay, not who gets the cores. */
const RATE = 200
const CLIENTS = 8
const QUIET_SECONDS = 10
const INTERVAL_MS = 1000

interface Measured {
  quiet: Delay
  during: Delay
  backupSeconds: number
  load: PgbenchResult
}

/** How long WAL waits for S3 while a base backup runs at full speed, beside the same load without one. */
export async function benchContention({ runs, gigabytes }: BenchOptions): Promise<BenchResult> {
  const program = findPgbench()
  if (program === null) throw new Error('pgbench is not installed: apt-get install postgresql')
  const postgres = await startPostgres({ version: 15, settings: { max_wal_size: '8GB', shared_buffers: '256MB' } })
  const ceph = await startCeph({ buckets: ['postbox'] })
  try {
    const bytes = await fill(postgres, gigabytes)
    await fillPgbench(program, postgres, 20)
    await postboxOk(['install'], { POSTBOX_DATABASE_URL: postgres.url() })
    const env = keyholderEnv({ ...ceph, endpoint: ceph.tlsEndpoint }, 'postbox')
    const grant = await postboxOk(['grant', '--server', 'bench', '--expires', '2h'], env)
    await postgres.query('select backup.install_grant($1)', [grant])
    const measured: Measured[] = []
    for (let count = 0; count < runs; count++) measured.push(await round(program, postgres, ceph.caFile))
    return report(measured, bytes)
  } finally {
    await postgres.remove()
    await ceph.stop()
  }
}

async function round(program: string, postgres: SandboxPostgres, caFile: string): Promise<Measured> {
  const env = { POSTBOX_DATABASE_URL: postgres.url(), POSTBOX_CA_FILE: caFile, POSTBOX_LOG_LEVEL: 'info' }
  const worker = new WorkerProcess(env)
  try {
    await worker.says('streaming WAL')
    await caughtUp(postgres)
    const quietly = watchDelay(postgres)
    await pgbench(program, postgres, { clients: CLIENTS, seconds: QUIET_SECONDS, rate: RATE })
    const quiet = await quietly()

    const [job] = await postgres.query<{ job_id: string }>('select backup.start_base() job_id')
    const began = performance.now()
    const waiting = postgres.query(`call backup.wait(${job!.job_id})`).then(() => (performance.now() - began) / 1000)
    // pgbench runs for longer than the backup; its delay counts only as long as that does.
    const load = pgbench(program, postgres, { clients: CLIENTS, seconds: 60, rate: RATE })
    await delay(INTERVAL_MS)
    const watching = watchDelay(postgres)
    const backupSeconds = await waiting
    const during = await watching()
    return { quiet, during, backupSeconds, load: await load }
  } catch (error) {
    throw new Error(worker.log, { cause: error })
  } finally {
    await worker.stop()
  }
}

function report(measured: readonly Measured[], bytes: number): BenchResult {
  const worst = Math.max(...measured.map(({ during }) => during.p99))
  return {
    title: `WAL beside a base backup of ${(bytes / 1e9).toFixed(1)} GB`,
    notes: [
      `pgbench at ${RATE} transactions a second; base backup at zstd 1 to Ceph over TLS, at full speed, on the same cores. wal_interval 1 s.`,
      'Delay: from the end of WAL at a moment, fifty times a second, until it is reported as flushed, only while the backup runs.',
    ],
    goals: [{ of: 'the p99 beside it, of every run', value: worst, atMost: 2 * INTERVAL_MS, unit: ' ms' }],
    columns: ['run', 'backup s', 'p50 ms beside it', 'p99 ms beside it', 'p50 ms without', 'p99 ms without'],
    rows: measured.map(({ quiet, during, backupSeconds }, index) =>
      [index + 1, backupSeconds.toFixed(1), during.p50, during.p99, quiet.p50, quiet.p99].map(String),
    ),
    summary: { ratio: Number(((2 * INTERVAL_MS) / worst).toFixed(2)), runs: measured },
  }
}
