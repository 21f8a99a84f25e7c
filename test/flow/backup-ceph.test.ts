import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { cephAvailable, startCeph, type Ceph } from '../sandbox/ceph/ceph.js'
import { clientPrograms } from '../sandbox/client/programs.js'
import { diffSnapshots, snapshotRows } from '../sandbox/compare.js'
import { keyholderEnv, postboxOk, WorkerProcess } from '../sandbox/command.js'
import { sandboxOwned, scratchDir, startFromDataDir, startPostgres, type SandboxPostgres } from '../sandbox/postgres.js'
import { until } from '../sandbox/until.js'

const available = await cephAvailable()
const bin = available ? await clientPrograms() : null

describe.skipIf(!available)('a server whose box is Ceph over TLS', () => {
  let ceph: Ceph
  let postgres: SandboxPostgres
  let worker: WorkerProcess
  let env: Record<string, string>
  beforeAll(async () => {
    ceph = await startCeph({ buckets: ['backups:versioned'] })
    env = keyholderEnv({ ...ceph, endpoint: ceph.tlsEndpoint }, 'backups')
    postgres = await startPostgres()
    const database = { POSTBOX_DATABASE_URL: postgres.url(), POSTBOX_CA_FILE: ceph.caFile }
    await postboxOk(['install'], database)
    const grant = await postboxOk(['grant', '--server', 'db1'], env)
    await postgres.query('select backup.install_grant($1)', [grant])
    worker = new WorkerProcess({ ...database, ...(bin === null ? {} : { PATH: `${bin}:/usr/bin:/bin` }) })
    await worker.says('streaming WAL')
  })
  afterAll(async () => {
    await worker.kill9()
    await postgres.remove()
    await ceph.stop()
  })

  test.skipIf(bin === null)('is dumped by POST, and names that keys hold in another form come back', async () => {
    const name = '"a b/%41+\u00e9""&"'
    await postgres.query(`create schema odd; create table odd.${name} as select generate_series(1, 1000) as n`)
    const [job] = await postgres.query<{ job_id: string }>("select backup.start_dump(schemas => '{odd}') job_id")
    await postgres.query(`call backup.wait(${job!.job_id}, '2 minutes')`)
    await postgres.query('create database copy template template0')
    const [row] = await postgres.query<{ dump_id: string }>('select dump_id from backup.dumps')
    const url = postgres.url({ database: 'copy' })
    await postboxOk(['restore-dump', '--server', 'db1', '--dump', row!.dump_id, '--database-url', url], env)
    expect(await postgres.query(`select count(*) n from odd.${name}`, [], { database: 'copy' })).toEqual([
      { n: '1000' },
    ])
    await postgres.query('drop database copy')
  })

  test('is backed up by POST and restored to its last row', async () => {
    await postgres.query('create table t as select n, md5(n::text) from generate_series(1, 200000) n')
    const [job] = await postgres.query<{ job_id: string }>('select backup.start_base() job_id')
    await postgres.query(`call backup.wait(${job!.job_id}, '2 minutes')`)
    await postgres.query("insert into t values (0, 'after the backup')")
    const before = await snapshotRows(postgres)
    const [switched] = await postgres.query<{ lsn: string }>('select pg_switch_wal()::text lsn')
    await until('the last segment is stored', async () => {
      const [row] = await postgres.query<{ stored: boolean }>(
        'select durable_lsn >= $1::pg_lsn stored from backup.status',
        [switched!.lsn],
      )
      return row!.stored
    })
    await postgres.kill9()

    const dataDir = await sandboxOwned(join(await scratchDir('ceph-restored'), 'data'))
    await postboxOk(['restore', '--server', 'db1', '--data-dir', dataDir], env)
    const restored = await startFromDataDir({ version: 18, dataDir, env })
    try {
      await until('recovery has ended', async () => {
        const [row] = await restored.query<{ over: boolean }>('select not pg_is_in_recovery() as over')
        return row!.over
      })
      expect(diffSnapshots(before, await snapshotRows(restored), { recovered: true })).toEqual([])
    } finally {
      await restored.remove()
    }
  })
})
