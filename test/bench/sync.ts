import { startCeph } from '../sandbox/ceph/ceph.js'
import { keyholderEnv, postboxOk, WorkerProcess } from '../sandbox/command.js'
import { startPostgres, type SandboxPostgres } from '../sandbox/postgres.js'
import { caughtUp, watchDelay, type Delay } from './delay.js'
import type { BenchOptions } from './main.js'
import { fillPgbench, findPgbench, pgbench, type PgbenchResult } from './pgbench.js'
import type { BenchResult } from './report.js'

const SECONDS = 10
const CLIENTS = [8, 32]

type Mode = 'local, no worker' | 'worker, tails each second' | 'every COMMIT in S3'

interface Measured {
  mode: Mode
  clients: number
  result: PgbenchResult
  /** from a commit to its being durable in S3, while it ran; null without a worker */
  delay: Delay | null
}

/** What it costs that commits are safe in S3: pgbench without Postbox, with it, and with every COMMIT waiting for it. */
export async function benchSync({ runs }: BenchOptions): Promise<BenchResult> {
  const program = findPgbench()
  if (program === null) throw new Error('pgbench is not installed: apt-get install postgresql')
  const postgres = await startPostgres({
    version: 15,
    settings: { fsync: 'on', max_wal_size: '4GB', shared_buffers: '256MB', max_connections: '60' },
  })
  const ceph = await startCeph({ buckets: ['postbox'] })
  try {
    await postboxOk(['install'], { POSTBOX_DATABASE_URL: postgres.url() })
    const env = keyholderEnv({ ...ceph, endpoint: ceph.endpoint, caFile: null }, 'postbox')
    const grant = await postboxOk(['grant', '--server', 'bench', '--expires', '2h'], env)
    await postgres.query('select backup.install_grant($1)', [grant])
    await fillPgbench(program, postgres, 20)
    const measured: Measured[] = []
    for (let count = 0; count < runs; count++) measured.push(...(await round(program, postgres)))
    return report(measured)
  } finally {
    await postgres.remove()
    await ceph.stop()
  }
}

async function round(program: string, postgres: SandboxPostgres): Promise<Measured[]> {
  const measured: Measured[] = []
  const measure = async (mode: Mode, watched: boolean) => {
    for (const clients of CLIENTS) {
      const watching = watched ? watchDelay(postgres) : null
      const result = await pgbench(program, postgres, { clients, seconds: SECONDS })
      measured.push({ mode, clients, result, delay: (await watching?.()) ?? null })
    }
  }
  await measure('local, no worker', false)
  const worker = new WorkerProcess({ POSTBOX_DATABASE_URL: postgres.url(), POSTBOX_LOG_LEVEL: 'info' })
  try {
    await worker.says('streaming WAL')
    await caughtUp(postgres)
    await measure('worker, tails each second', true)
    await caughtUp(postgres)
    await setSynchronous(postgres, 'postbox')
    await measure('every COMMIT in S3', true)
  } finally {
    await setSynchronous(postgres, '')
    await worker.stop()
  }
  return measured
}

async function setSynchronous(postgres: SandboxPostgres, names: string): Promise<void> {
  const session = await postgres.connect()
  // It must not wait for the very thing that it changes.
  await session.query('set synchronous_commit = local')
  await session.query(`alter system set synchronous_standby_names = '${names}'`)
  await session.query('select pg_reload_conf()')
  await session.end()
}

function report(measured: readonly Measured[]): BenchResult {
  const median = (mode: Mode, clients: number) =>
    measured
      .filter((one) => one.mode === mode && one.clients === clients)
      .map(({ result }) => result.tps)
      .toSorted((a, b) => a - b)[Math.floor(measured.length / (CLIENTS.length * 3 * 2))]!
  const ratio = (mode: Mode, clients: number) =>
    Number((median(mode, clients) / median('local, no worker', clients)).toFixed(2))
  const worst = Math.max(
    ...measured.flatMap(({ mode, delay: seen }) => (seen && mode === 'worker, tails each second' ? [seen.p99] : [])),
  )
  return {
    title: 'pgbench while WAL goes to Ceph',
    notes: [
      `pgbench (TPC-B-like, scale 20, ${SECONDS} s) with 8 and 32 clients; server, clients, worker and Ceph share the machine. fsync on.`,
      'Delay: from the end of WAL at a moment, fifty times a second, until it is reported as flushed (seen to 20 ms).',
      '"Every COMMIT in S3": synchronous_standby_names = \'postbox\'. Without, a COMMIT is safe locally at once and in S3 after the delay.',
    ],
    goals: [{ of: 'the p99 with tails each second, of every run', value: worst, atMost: 1500, unit: ' ms' }],
    columns: ['mode', 'clients', 'TPS', 'latency ms', 'delay p50 ms', 'delay p99 ms'],
    rows: measured.map(({ mode, clients, result, delay: seen }) => [
      mode,
      String(clients),
      result.tps.toFixed(0),
      result.latencyMs.toFixed(1),
      seen ? String(seen.p50) : '–',
      seen ? String(seen.p99) : '–',
    ]),
    summary: {
      ratio: ratio('every COMMIT in S3', 32),
      asynchronous_ratio: ratio('worker, tails each second', 32),
      runs: measured,
    },
  }
}
