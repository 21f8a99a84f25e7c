import { startCeph } from '../sandbox/ceph/ceph.js'
import { keyholderEnv, postboxOk, WorkerProcess } from '../sandbox/command.js'
import { scratchDir, startPostgres, type SandboxPostgres } from '../sandbox/postgres.js'
import type { BenchOptions } from './main.js'
import { pgBackRestBackup, pgBackRestVersion, setUpPgBackRest } from './pgbackrest.js'
import { processUse } from './process-tree.js'
import type { BenchResult } from './report.js'

interface Run {
  seconds: number
  peakBytes: number
}

const LEVEL = 3

/** A full base backup to Ceph over TLS beside pgBackRest's, both with two cores and zstd 3. */
export async function benchBase({ runs, gigabytes }: BenchOptions): Promise<BenchResult> {
  const peer = await pgBackRestVersion()
  if (peer === null) process.stderr.write('pgBackRest is not installed: Postbox is measured alone\n')
  // Debian 12's pgBackRest knows Postgres up to 15.
  const postgres = await startPostgres({ version: 15, settings: { max_wal_size: '8GB', shared_buffers: '256MB' } })
  const ceph = await startCeph({ buckets: ['postbox', 'peer'] })
  try {
    const bytes = await fill(postgres, gigabytes)
    const ours = { ...ceph, endpoint: ceph.tlsEndpoint }
    const env = keyholderEnv(ours, 'postbox')
    await postboxOk(['install'], { POSTBOX_DATABASE_URL: postgres.url() })
    const grant = await postboxOk(['grant', '--server', 'bench', '--expires', '2h'], env)
    await postgres.query('select backup.install_grant($1)', [grant])
    await postgres.query("select backup.configure('compression_level', $1)", [String(LEVEL)])
    const port = Number(new URL(ceph.tlsEndpoint).port)
    const repository = { port, bucket: 'peer', accessKey: ceph.accessKey, secretKey: ceph.secretKey, level: LEVEL }
    const directory = peer && (await setUpPgBackRest(postgres, repository, await scratchDir('pgbackrest')))
    const measured: { ours: Run; theirs: Run | null }[] = []
    for (let count = 0; count < runs; count++) {
      const theirs = directory ? await pgBackRestBackup(directory) : null
      measured.push({ theirs, ours: await postboxBackup(postgres, ceph.caFile) })
    }
    return report(measured, bytes, peer)
  } finally {
    await postgres.remove()
    await ceph.stop()
  }
}

/** Rows that compress about as real ones do: text of hexadecimal digits, half of it repeated. */
export async function fill(postgres: SandboxPostgres, gigabytes: number): Promise<number> {
  const rows = Math.round((gigabytes * 1e9) / 280)
  await postgres.query('create table filler (id bigint, payload text)')
  await postgres.query(
    `insert into filler select n, md5(n::text) || md5(random()::text) || repeat(md5((n / 7)::text), 5)
     from generate_series(1, $1::bigint) n`,
    [rows],
  )
  await postgres.query('vacuum (freeze, analyze) filler')
  await postgres.query('checkpoint')
  const [size] = await postgres.query<{ bytes: string }>('select sum(pg_database_size(oid)) bytes from pg_database')
  return Number(size!.bytes)
}

/** A worker of its own for each run, so that its peak is this backup's. */
async function postboxBackup(postgres: SandboxPostgres, caFile: string): Promise<Run> {
  const env = { POSTBOX_DATABASE_URL: postgres.url(), POSTBOX_CA_FILE: caFile, POSTBOX_LOG_LEVEL: 'info' }
  const worker = new WorkerProcess(env)
  try {
    await worker.says('streaming WAL')
    // What the last run left in the slot is not this one's work.
    await postgres.query('select pg_switch_wal()')
    const began = performance.now()
    const [job] = await postgres.query<{ job_id: string }>('select backup.start_base() job_id')
    await postgres.query(`call backup.wait(${job!.job_id})`)
    const seconds = (performance.now() - began) / 1000
    return { seconds, ...(await processUse(worker.pid)) }
  } catch (error) {
    throw new Error(worker.log, { cause: error })
  } finally {
    await worker.stop()
  }
}

function report(
  measured: readonly { ours: Run; theirs: Run | null }[],
  bytes: number,
  peer: string | null,
): BenchResult {
  const ratios = measured.flatMap(({ ours, theirs }) => (theirs ? [theirs.seconds / ours.seconds] : [])).toSorted()
  const ratio = ratios.length > 0 ? ratios[Math.floor(ratios.length / 2)]! : null
  const most = Math.round(Math.max(...measured.map(({ ours }) => ours.peakBytes)) / 1024 ** 2)
  const mebibytes = (run: Run | null) => (run ? String(Math.round(run.peakBytes / 1024 ** 2)) : '–')
  return {
    title: `full base backup of ${(bytes / 1e9).toFixed(1)} GB to Ceph over TLS`,
    notes: [
      `Postbox beside ${peer ?? 'nothing: pgBackRest was not installed'} (process-max=2), both zstd ${LEVEL}, Postgres 15, two runs in turn.`,
      'Wall time: from the call of backup.start_base() until backup.wait() returns, WAL and manifest stored; of pgBackRest, its command, without WAL.',
      'Memory: the most that was resident, of the worker, and of all pgBackRest processes together.',
    ],
    goals: [
      { of: 'time, by the ratio in the middle', value: ratio && Number(ratio.toFixed(2)), atLeast: 1.5 },
      { of: 'memory', value: most, atMost: 256, unit: ' MiB' },
    ],
    columns: ['run', 'Postbox s', 'pgBackRest s', 'ratio', 'Postbox MiB', 'pgBackRest MiB'],
    rows: measured.map(({ ours, theirs }, index) => [
      String(index + 1),
      ours.seconds.toFixed(1),
      theirs?.seconds.toFixed(1) ?? '–',
      theirs ? (theirs.seconds / ours.seconds).toFixed(2) : '–',
      mebibytes(ours),
      mebibytes(theirs),
    ]),
    summary: { ratio: ratio && Number(ratio.toFixed(2)), gigabytes: Number((bytes / 1e9).toFixed(2)), runs: measured },
  }
}
