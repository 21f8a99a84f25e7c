import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { diffSnapshots, snapshotRows, verifyBackupManifest } from '../sandbox/compare.js'
import { postboxOk } from '../sandbox/command.js'
import { ArchiveMaker } from '../sandbox/make-archive.js'
import { verifyPageChecksums } from '../../src/keyholder/drill/page-checksums.js'
import {
  postgresVersions,
  removeScratch,
  scratchDir,
  startPostgres,
  type SandboxPostgres,
} from '../sandbox/postgres.js'
import { promoted, Restores } from '../sandbox/restored.js'
import { startS3, type LocalS3 } from '../sandbox/s3/server.js'
import { until } from '../sandbox/until.js'
import { makeTablespace } from '../sandbox/workload.js'

let s3: LocalS3

beforeAll(async () => {
  s3 = await startS3({
    buckets: [...postgresVersions.map((version) => ({ name: `pg${version}`, versioned: true })), { name: 'other' }],
  })
})

afterAll(async () => {
  await s3.close()
  await removeScratch()
})

describe.each(postgresVersions)('a restore of Postgres %i', (version) => {
  const bucket = `pg${version}`
  let postgres: SandboxPostgres
  let made: ArchiveMaker
  let restores: Restores
  let tablespace: { oid: number; location: string }

  beforeAll(async () => {
    postgres = await startPostgres({ version, settings: { wal_keep_size: '1GB' } })
    made = await ArchiveMaker.open(postgres, s3.bucket(bucket))
    restores = new Restores(s3, bucket, version)
    tablespace = await makeTablespace(postgres, 'fast')
    await postgres.query('create table kept as select n, md5(n::text) v from generate_series(1, 30000) n')
    await postgres.query('create index on kept (v)')
    await postgres.query('create table moved (n int) tablespace fast')
    await postgres.query('insert into moved select generate_series(1, 1000)')
    await postgres.query('create database second')
    // left over from an earlier life: two kinds of target would keep Postgres from starting
    await postgres.query(`alter system set recovery_target_name = 'old'`)
    await made.backUp({ label: 'first' })
    await postgres.query('insert into kept select n, $1 from generate_series(30001, 31000) n', ['later'])
    await postgres.query('delete from kept where n < 100')
    await made.storeWal()
  })

  afterAll(async () => {
    await restores.remove()
    await postgres.remove()
  })

  test('gives every row back, and every file as Postgres had it', async () => {
    const elsewhere = await scratchDir('space')
    const dataDir = await restores.restore(['--tablespace', `${tablespace.oid}=${elsewhere}`, '--jobs', '3'])
    // tablespace_map says where the tablespace is now
    expect(await verifyBackupManifest(dataDir)).toEqual([expect.stringContaining('tablespace_map')])
    const server = await restores.start(dataDir)
    await promoted(server)
    expect(diffSnapshots(await snapshotRows(postgres), await snapshotRows(server), { recovered: true })).toEqual([])
    const [place] = await server.query<{ at: string }>(`select pg_tablespace_location(${tablespace.oid}) as at`)
    expect(place!.at).toBe(elsewhere)
    await server.stop()
    expect((await verifyPageChecksums(dataDir)).bad).toEqual([])
    const [signal, leftover] = await Promise.all([
      stat(join(dataDir, 'recovery.signal')).catch(() => null),
      until('the spool is gone', async () => !(await readdir(join(dataDir, 'pg_wal'))).join().includes('spool')),
    ])
    expect([signal, leftover]).toEqual([null, true])
  })

  test('puts a tablespace where it lay when that place is empty, and else refuses before it writes anything', async () => {
    const { code, stderr, dataDir } = await restores.attempt()
    expect(code).toBe(1)
    expect(stderr).toContain(`${tablespace.location} is not empty (data_dir_not_empty)`)
    expect(await readdir(dataDir)).toEqual([])
  })

  test('is closed to others', async () => {
    const dataDir = await restores.restore(['--tablespace', `${tablespace.oid}=${await scratchDir('space')}`])
    const open: string[] = []
    for (const entry of await readdir(dataDir, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name)
      if (!entry.isSymbolicLink() && ((await stat(path)).mode & 0o077) !== 0) open.push(path)
    }
    expect(open).toEqual([])
    expect((await stat(dataDir)).mode & 0o777).toBe(0o700)
  })

  test('reads what was stored first when somebody has stored over every object', async () => {
    const objects = s3.bucket(bucket)
    for (const key of objects.keys('db1/')) objects.put(key, Buffer.from('forged'))
    const recovered = await restores.recover(['--tablespace', `${tablespace.oid}=${await scratchDir('space')}`])
    expect(diffSnapshots(await snapshotRows(postgres), await snapshotRows(recovered), { recovered: true })).toEqual([])
    const { servers } = JSON.parse(await postboxOk(['list', '--json'], restores.env)) as {
      servers: { backups: { state: string; problems: string[] }[] }[]
    }
    expect(servers[0]!.backups).toMatchObject([
      { state: 'restorable', problems: [expect.stringContaining('was stored over')] },
    ])
  })
})

describe('a restore that cannot be', () => {
  let postgres: SandboxPostgres
  let restores: Restores
  let keys: () => string[]

  beforeAll(async () => {
    postgres = await startPostgres()
    const made = await ArchiveMaker.open(postgres, s3.bucket('other'), 'broken')
    await postgres.query('create table t as select n, md5(n::text) v from generate_series(1, 50000) n')
    await made.backUp({ partBytes: 2 * 1024 * 1024 })
    restores = new Restores(s3, 'other', 18, 'broken')
    keys = () =>
      s3
        .bucket('other')
        .keys('broken/')
        .filter((key) => key.endsWith('.tar.zst'))
  })

  afterAll(async () => {
    await restores.remove()
    await postgres.remove()
  })

  test('does not touch a directory that is not empty', async () => {
    const dataDir = await scratchDir('full')
    await writeFile(join(dataDir, 'a file'), '')
    const { code, stderr } = await restores.attempt([], dataDir)
    expect(code).toBe(1)
    expect(stderr).toContain(`${dataDir} is not empty (data_dir_not_empty)`)
    expect(await readdir(dataDir)).toEqual(['a file'])
  })

  test('names the damaged part, and Postgres does not start from what it leaves', async () => {
    const key = keys()[4]!
    const intact = Buffer.from(s3.bucket('other').get(key))
    s3.bucket('other').corrupt(key)
    const { code, stderr, dataDir } = await restores.attempt()
    expect(code).toBe(1)
    expect(stderr).toContain(`${key} holds other bytes than the manifest says (object_damaged)`)
    await expect(restores.start(dataDir)).rejects.toThrow(/control file|did not start/)
    s3.bucket('other').corrupt(key, () => intact)
  })

  test('names the missing part and writes nothing', async () => {
    const key = keys()[4]!
    const intact = Buffer.from(s3.bucket('other').get(key))
    s3.bucket('other').remove(key)
    const { code, stderr, dataDir } = await restores.attempt()
    expect([code, await readdir(dataDir)]).toEqual([1, []])
    expect(stderr).toContain(`the archive does not have ${key} (object_missing)`)
    s3.bucket('other').put(key, intact)
  })

  test('writes nothing in a dry run, and says what it would do', async () => {
    const { code, stdout, dataDir } = await restores.attempt(['--dry-run', '--json'])
    expect([code, await readdir(dataDir)]).toEqual([0, []])
    expect(JSON.parse(stdout)).toMatchObject({ server: 'broken', dry_run: true, target: 'latest', timeline: 1 })
  })

  test('ends with one line and a hint when an argument is wrong', async () => {
    for (const args of [['--target', 'soon'], ['--tablespace', '99=/x'], ['--exclusive'], ['--jobs', '0']]) {
      const { code, stderr } = await restores.attempt(args)
      expect(code, args.join(' ')).toBeGreaterThan(0)
      expect(stderr.split('\n').filter(Boolean), args.join(' ')).toEqual([
        expect.stringMatching(/^postbox: .* \(bad_argument\)$/),
        expect.stringMatching(/^hint: /),
      ])
    }
  })

  test('gives the same data when the archive stutters', async () => {
    const undo = [
      s3.fail({ op: 'GetObject', nth: 3, times: 2, fault: { kind: 'status', status: 503, code: 'SlowDown' } }),
      s3.fail({ op: 'GetObject', nth: 6, times: 2, fault: { kind: 'cut-body', afterBytes: 1000 } }),
    ]
    // At once as much as can be: what comes back out of order must not be put together so.
    const recovered = await restores.recover(['--jobs', '64'])
    for (const one of undo) one()
    expect(diffSnapshots(await snapshotRows(postgres), await snapshotRows(recovered), { recovered: true })).toEqual([])
    expect(await readFile(join(recovered.dataDir, 'PG_VERSION'), 'utf8')).toBe('18\n')
  })
})
