import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseManifestKey } from '../../src/box/key-names.js'
import { DumpManifest } from '../../src/box/dump-manifest.js'
import { promote } from '../faults/promote.js'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { postgresHome } from '../sandbox/binaries.js'
import { clientPrograms } from '../sandbox/client/programs.js'
import { postbox, postboxOk } from '../sandbox/command.js'
import { sandboxOwned, sandboxUser, scratchDir, type SandboxPostgres } from '../sandbox/postgres.js'
import { run } from '../sandbox/run.js'
import { save, type Golden } from './stored.js'

/** Makes an archive by a real worker and by every command that stores something, for good: see README.md. */
async function main(name: string): Promise<void> {
  const bin = (await clientPrograms())!
  const backedUp = await BackedUpServer.start({
    version: 17,
    initdb: ['--wal-segsize=1'],
    settings: { allow_in_place_tablespaces: 'on' },
    workerEnv: { PATH: bin },
  })
  try {
    await save(name, backedUp.bucket, await fill(backedUp, bin))
  } finally {
    await backedUp.remove()
  }
}

async function fill(backedUp: BackedUpServer, bin: string): Promise<Omit<Golden, 'objects'>> {
  const { postgres, bucket } = backedUp
  const rows = {} as Golden['rows']
  await setUp(postgres)
  // The first backup is there to be pruned.
  await backedUp.backUp('pruned')
  await insert(postgres, 'between the backups', 2)
  await backedUp.backUp('golden')
  await insert(postgres, 'after the backup', 10)
  const [row] = await postgres.query<{ now: string }>('select clock_timestamp()::text as now')
  rows.moment = await kept(postgres)

  await insert(postgres, 'behind the moment', 20)
  await dump(backedUp, `label => 'whole'`)
  await dump(backedUp, `label => 'masked', options => '{"masked": true}'`)
  rows.dump = await kept(postgres)
  rows.masked = rows.dump.map((text) => text.replace(/"secret":"[^"]*"/, '"secret":"***"'))
  await insert(postgres, 'the last of timeline 1', 25)
  await backedUp.untilDurable()
  rows.timeline_1 = await kept(postgres)

  await backedUp.worker.stop()
  await drillProbePrune(backedUp)
  await promote(postgres)
  await backedUp.startWorker({ PATH: bin }).says('streaming WAL')
  await insert(postgres, 'on timeline 2', 30)
  await backedUp.storeAllWal()
  await insert(postgres, 'in the last tail', 31)
  await backedUp.untilDurable()
  rows.timeline_2 = await kept(postgres)
  await backedUp.worker.kill9()

  const [backupId] = bucket.keys().flatMap((key) => parseManifestKey(key)?.backupId ?? [])
  const dumps = bucket
    .keys()
    .filter((key) => /\/dump\/[^/]+\/manifest-/.test(key))
    .map((key) => DumpManifest.parse(JSON.parse(bucket.get(key).toString())))
  const idOf = (label: string) => dumps.find((one) => one.label === label)!.dump_id
  const [space] = await postgres.query<{ oid: string }>(
    `select oid::text from pg_tablespace where spcname = 'elsewhere'`,
  )
  const version = (await run('git', ['describe', '--always'], { cwd: import.meta.dirname })).trim()
  return {
    made_with: version,
    postgres: 17,
    server: backedUp.server,
    backup_id: backupId!,
    tablespace: space!.oid,
    dumps: { whole: idOf('whole'), masked: idOf('masked') },
    moment: row!.now,
    rows,
  }
}

async function setUp(postgres: SandboxPostgres): Promise<void> {
  // An empty database of Postgres is 7 MB; one of them is enough.
  for (const database of ['template1', 'template0']) {
    await postgres.query(`alter database ${database} is_template false`)
    await postgres.query(`drop database ${database}`)
  }
  const space = await sandboxOwned(join(await scratchDir('space'), 'elsewhere'))
  await postgres.query(`create tablespace elsewhere location '${space}'`)
  await postgres.query(`create tablespace within location ''`)
  await postgres.query(
    `create table kept (n int primary key, place text, secret text default 'secret') tablespace elsewhere`,
  )
  await postgres.query(`create table also tablespace within as select n from generate_series(1, 100) n`)
  // So that the backup is of several parts of 1 MB.
  await postgres.query('create table bulky as select md5(n::text) as text from generate_series(1, 12000) n')
  await postgres.query(`create index also_n on also (n)`)
  await postgres.query('grant pg_read_all_data to postbox_worker')
  await postgres.query(`select backup.mask('public.kept.secret', '''***''')`)
  await postgres.query(`select backup.configure('compression_level', '19')`)
  await postgres.query(`select backup.configure('part_bytes', '1MB'), backup.configure('wal_interval', '100ms')`)
  await insert(postgres, 'before the backup', 1)
}

const insert = (postgres: SandboxPostgres, place: string, n: number) =>
  postgres.query('insert into kept values ($1, $2)', [n, place])

async function kept(postgres: SandboxPostgres): Promise<string[]> {
  const rows = await postgres.query<{ row: string }>('select to_json(kept)::text as row from kept order by n')
  return rows.map(({ row }) => row)
}

async function dump(backedUp: BackedUpServer, args: string): Promise<void> {
  const [row] = await backedUp.postgres.query<{ id: string }>(`select backup.start_dump(${args}) id`)
  const job = await backedUp.ended(BigInt(row!.id))
  if (job.state !== 'done') throw new Error(`${JSON.stringify(job)}\n${backedUp.worker.log}`)
}

/** What the keyholder's commands store outside the server's folder. */
async function drillProbePrune(backedUp: BackedUpServer): Promise<void> {
  const home = await scratchDir('keyholder')
  const file = join(home, 'keyholder.yaml')
  await writeFile(file, 'servers:\n  db1:\n    retention:\n      backups: { last: 1, for: 1d }\n')
  const env = { ...backedUp.keyholderEnv, POSTBOX_KEYHOLDER_FILE: file }
  const user = sandboxUser()
  const runAs = user ? ['--run-as', (await run('id', ['-un', String(user.uid)])).trim()] : []
  const programs = join((await postgresHome(17)).directory, 'bin')
  await postboxOk(['drill', '--server', 'db1', '--work-dir', home, '--postgres-bin', programs, ...runAs], env)
  // Its exit code says whether the bucket is as it should be; a bucket without Object Lock is not.
  await postbox(['probe'], env)
  backedUp.s3.shiftClock(30 * 24 * 60)
  await postboxOk(['prune', '--server', 'db1', '--confirm'], env)
  backedUp.s3.shiftClock(0)
  // It is of the day on which it was made.
  const { bucket } = backedUp
  for (const key of bucket.keys('.postbox/prune/')) {
    const bytes = bucket.get(key)
    bucket.remove(key)
    bucket.put(key, bytes)
  }
}

await main(process.argv[2] ?? 'v1')
