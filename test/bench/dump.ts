import { readFile, rm } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { startCeph, type Ceph } from '../sandbox/ceph/ceph.js'
import { clientPrograms } from '../sandbox/client/programs.js'
import { keyholderEnv, postboxOk, WorkerProcess } from '../sandbox/command.js'
import { scratchDir, startPostgres, type SandboxPostgres } from '../sandbox/postgres.js'
import { plainEnv, run } from '../sandbox/run.js'
import { until } from '../sandbox/until.js'
import type { BenchOptions } from './main.js'
import type { BenchResult } from './report.js'

interface Run {
  dumpSeconds: number
  restoreSeconds: number
}

type OwnRun = Run & { peakBytes: number }

interface Parties {
  postgres: SandboxPostgres
  ceph: Ceph
  programs: string
  directory: string
}

const JOBS = 2
const LEVEL = 3
const SMALL_TABLES = 10

/** A logical dump to Ceph over TLS and back, beside pg_dump and pg_restore with a directory and rclone in between. */
export async function benchDump({ runs, gigabytes }: BenchOptions): Promise<BenchResult> {
  const programs = await clientPrograms()
  if (programs === null) throw new Error('pg_dump 18 cannot be installed here')
  const rclone = (await run('rclone', ['version'])).split('\n', 1)[0]!
  const postgres = await startPostgres({ version: 18, settings: { max_wal_size: '8GB', shared_buffers: '256MB' } })
  const ceph = await startCeph({ buckets: ['postbox', 'peer'], storeGb: 12 })
  try {
    await fill(postgres, gigabytes)
    const [size] = await postgres.query<{ bytes: string }>(
      "select sum(pg_table_size(oid)) bytes from pg_class where relname ~ '^(large|small)' and relkind = 'r'",
    )
    await postboxOk(['install'], { POSTBOX_DATABASE_URL: postgres.url() })
    const grant = await postboxOk(['grant', '--server', 'bench', '--expires', '2h'], ownEnv(ceph))
    await postgres.query('select backup.install_grant($1)', [grant])
    await postgres.query("select backup.configure('compression_level', $1)", [String(LEVEL)])
    await postgres.query("select backup.configure('dump_jobs', $1)", [String(JOBS)])
    const measured: { ours: OwnRun; theirs: Run }[] = []
    for (let count = 0; count < runs; count++) {
      const parties = { postgres, ceph, programs, directory: await scratchDir('dump') }
      measured.push({ theirs: await peerRun(parties, count), ours: await ownRun(parties) })
    }
    return report(measured, Number(size!.bytes), rclone)
  } finally {
    await postgres.remove()
    await ceph.stop()
  }
}

/** Half of it in one table, half in ten; each with a primary key and an index. */
export async function fill(postgres: SandboxPostgres, gigabytes: number): Promise<void> {
  const rows = Math.round((gigabytes * 1e9) / 280)
  const small = Math.round(rows / 2 / SMALL_TABLES)
  const tables = Array.from({ length: SMALL_TABLES }, (_, n) => [`small_${n}`, small] as const)
  for (const [name, count] of [['large', rows / 2] as const, ...tables]) {
    await postgres.query(`create table ${name} (id bigint, amount numeric, at timestamptz, payload text)`)
    await postgres.query(
      `insert into ${name} select n, n / 7.0, now() - n * interval '1 s',
         md5(n::text) || md5(random()::text) || repeat(md5((n / 7)::text), 4)
       from generate_series(1, ${Math.round(count)}) n`,
    )
    await postgres.query(`alter table ${name} add primary key (id)`)
    await postgres.query(`create index on ${name} (at)`)
  }
  await postgres.query('vacuum (freeze, analyze)')
  await postgres.query('checkpoint')
}

const ownEnv = (ceph: Ceph) => keyholderEnv({ ...ceph, endpoint: ceph.tlsEndpoint }, 'postbox')

async function withWorker<T>(
  { postgres, ceph, programs }: Parties,
  work: (worker: WorkerProcess) => Promise<T>,
): Promise<T> {
  const worker = new WorkerProcess({
    POSTBOX_DATABASE_URL: postgres.url(),
    POSTBOX_CA_FILE: ceph.caFile,
    POSTBOX_LOG_LEVEL: 'info',
    PATH: `${programs}:${process.env.PATH ?? ''}`,
  })
  try {
    await worker.says('streaming WAL')
    return await work(worker)
  } catch (error) {
    throw new Error(worker.log, { cause: error })
  } finally {
    await worker.stop()
  }
}

/** The peer's restore has written WAL, which would be posted beside the dump. */
async function storeBacklog(parties: Parties): Promise<void> {
  await withWorker(parties, () =>
    until(
      'all WAL is stored',
      async () => {
        const [row] = await parties.postgres.query<{ stored: boolean }>(
          'select durable_lsn > pg_current_wal_lsn() - 64 * 1024 * 1024 stored from backup.status',
        )
        return row!.stored
      },
      300_000,
    ),
  )
}

async function ownRun(parties: Parties): Promise<OwnRun> {
  const { postgres, ceph } = parties
  await storeBacklog(parties)
  // A worker of its own, so that its peak is this dump's.
  const { dumpSeconds, peakBytes } = await withWorker(parties, async ({ pid }) => {
    const began = performance.now()
    const [job] = await postgres.query<{ job_id: string }>('select backup.start_dump() job_id')
    await postgres.query(`call backup.wait(${job!.job_id})`)
    const seconds = (performance.now() - began) / 1000
    const status = await readFile(`/proc/${pid}/status`, 'utf8')
    return { dumpSeconds: seconds, peakBytes: Number(/^VmHWM:\s+(\d+) kB/m.exec(status)![1]) * 1024 }
  })
  const url = new URL(postgres.url())
  url.pathname = '/restored'
  const began = performance.now()
  const restore = ['restore-dump', '--server', 'bench', '--database-url', url.href, '--create', '--jobs', String(JOBS)]
  await postboxOk(restore, ownEnv(ceph))
  const restoreSeconds = (performance.now() - began) / 1000
  await postgres.query('drop database restored')
  await postgres.query('checkpoint')
  return { dumpSeconds, restoreSeconds, peakBytes }
}

async function peerRun({ postgres, ceph, programs, directory }: Parties, count: number): Promise<Run> {
  const env = {
    ...plainEnv,
    RCLONE_CONFIG_CEPH_TYPE: 's3',
    RCLONE_CONFIG_CEPH_PROVIDER: 'Ceph',
    RCLONE_CONFIG_CEPH_ENDPOINT: ceph.tlsEndpoint,
    RCLONE_CONFIG_CEPH_ACCESS_KEY_ID: ceph.accessKey,
    RCLONE_CONFIG_CEPH_SECRET_ACCESS_KEY: ceph.secretKey,
    RCLONE_CA_CERT: ceph.caFile,
    RCLONE_S3_NO_CHECK_BUCKET: 'true',
  }
  const there = join(directory, 'there')
  const back = join(directory, 'back')
  const began = performance.now()
  const dump = ['-Fd', `-j${JOBS}`, '-Z', `zstd:${LEVEL}`, '--exclude-schema=backup', '-f', there, '-d', postgres.url()]
  await run(join(programs, 'pg_dump'), dump)
  await run('rclone', ['copy', there, `ceph:peer/${count}`], { env })
  const dumpSeconds = (performance.now() - began) / 1000
  await rm(there, { recursive: true })

  const restoring = performance.now()
  await postgres.query('create database restored template template0')
  await run('rclone', ['copy', `ceph:peer/${count}`, back], { env })
  const url = new URL(postgres.url())
  url.pathname = '/restored'
  await run(join(programs, 'pg_restore'), [`-j${JOBS}`, '-d', url.href, back])
  const restoreSeconds = (performance.now() - restoring) / 1000
  await postgres.query('drop database restored')
  await rm(directory, { recursive: true })
  await postgres.query('checkpoint')
  return { dumpSeconds, restoreSeconds }
}

function report(measured: readonly { ours: OwnRun; theirs: Run }[], bytes: number, rclone: string): BenchResult {
  const median = (of: (run: Run) => number) => {
    const ratios = measured.map(({ ours, theirs }) => of(theirs) / of(ours)).toSorted((a, b) => a - b)
    return Number(ratios[Math.floor(ratios.length / 2)]!.toFixed(2))
  }
  const ratio = median((one) => one.dumpSeconds)
  const restoreRatio = median((one) => one.restoreSeconds)
  const most = Math.round(Math.max(...measured.map(({ ours }) => ours.peakBytes)) / 1024 ** 2)
  return {
    title: `logical dump of ${(bytes / 1e9).toFixed(1)} GB to Ceph over TLS, and back`,
    notes: [
      `Postbox with ${JOBS} connections beside pg_dump 18 -Fd -j${JOBS} -Z zstd:${LEVEL}, then ${rclone} copy; and back beside rclone copy, then pg_restore -j${JOBS}. Both zstd ${LEVEL}, Postgres 18 on the same ${availableParallelism()} cores, in turn.`,
      `Half of the rows in one table, the rest in ${SMALL_TABLES}; each with a primary key and an index.`,
      'Wall time: of a dump from the call of backup.start_dump() until backup.wait() returns; of pg_dump, both commands.',
      'Memory: the most that was resident, of a worker that was started for this dump.',
    ],
    goals: [
      { of: 'the dump, by the ratio in the middle', value: ratio, atLeast: 1.3 },
      { of: 'the restore, by the ratio in the middle', value: restoreRatio, atLeast: 1.2 },
      { of: 'memory', value: most, atMost: 256, unit: ' MiB' },
    ],
    columns: [
      'run',
      'Postbox dump s',
      'pg_dump s',
      'ratio',
      'Postbox restore s',
      'pg_restore s',
      'ratio',
      'Postbox MiB',
    ],
    rows: measured.map(({ ours, theirs }, index) => [
      String(index + 1),
      ours.dumpSeconds.toFixed(1),
      theirs.dumpSeconds.toFixed(1),
      (theirs.dumpSeconds / ours.dumpSeconds).toFixed(2),
      ours.restoreSeconds.toFixed(1),
      theirs.restoreSeconds.toFixed(1),
      (theirs.restoreSeconds / ours.restoreSeconds).toFixed(2),
      String(Math.round(ours.peakBytes / 1024 ** 2)),
    ]),
    summary: { ratio, restore_ratio: restoreRatio, gigabytes: Number((bytes / 1e9).toFixed(2)), runs: measured },
  }
}
