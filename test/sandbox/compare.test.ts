import { appendFile, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Client } from 'pg'
import { afterAll, describe, expect, it } from 'vitest'
import { diffSnapshots, snapshotRows, verifyBackupManifest } from './compare.js'
import { postgresVersions, removeScratch, scratchDir, startPostgres, type SandboxPostgres } from './postgres.js'
import { run } from './run.js'
import { makeTablespace } from './workload.js'

afterAll(() => removeScratch())

describe('snapshots', () => {
  it('are the same for the same content in another order, and differ in whatever a user changed', async () => {
    const postgres = await startPostgres()
    await postgres.query('create database "Other one"')
    const other = { database: 'Other one' }
    await postgres.query(
      `create table "Mixed ""case" (n int primary key, t text, b bytea, at timestamptz);
       insert into "Mixed ""case" values (1, 'one', '\\x01', now()), (2, null, '\\x02', now()), (3, '', '\\x', now());
       create table parts (n int) partition by range (n);
       create table part_1 partition of parts for values from (0) to (10);
       insert into parts values (1);
       create materialized view seen as select count(*) from parts;
       create unlogged table fleeting as select 1 as n;
       create schema backup; create table backup._own as select 1 as n;
       create sequence counter; select nextval('counter'); select lo_from_bytea(0, 'large')`,
      [],
      other,
    )
    const before = await snapshotRows(postgres)
    expect(Object.keys(before.rows)).toEqual([
      'Other one: public."Mixed ""case"',
      'Other one: public.part_1',
      'Other one: public.seen',
      'Other one: large objects',
      'postgres: large objects',
    ])
    expect(before.rows['Other one: public."Mixed ""case"']!.rows).toBe('3')

    await postgres.query(
      'update "Mixed ""case" set n = n where n = 1; alter database "Other one" set timezone to 3',
      [],
      other,
    )
    await postgres.query('update backup._own set n = 2; update fleeting set n = 2', [], other)
    expect(diffSnapshots(before, await snapshotRows(postgres))).toEqual([])

    await postgres.query(
      `update "Mixed ""case" set t = '' where n = 2; insert into parts values (2); drop materialized view seen;
       create index on part_1 (n); select nextval('counter'); update pg_largeobject set data = 'smaller'`,
      [],
      other,
    )
    const after = await snapshotRows(postgres)
    expect(diffSnapshots(before, after)).toEqual([
      'Other one: large objects: has other content',
      'Other one: public."Mixed ""case": has other content',
      'Other one: public.part_1: had 1 rows, has 2',
      'Other one: public.seen: is gone',
      'sequence Other one: public.counter: was at 1, is at 2',
      'index Other one: CREATE INDEX part_1_n_idx ON public.part_1 USING btree (n): is new',
    ])
    expect(diffSnapshots(before, after, { recovered: true }).filter((line) => line.startsWith('sequence'))).toEqual([])
    await postgres.remove()
  })

  it('forgive a sequence its jump in recovery, but no step back and no longer jump', async () => {
    const at = (value: string) => ({ rows: {}, indexes: [], sequences: { s: { value, increment: '-2' } } })
    expect(diffSnapshots(at('10'), at('-54'), { recovered: true })).toEqual([])
    expect(diffSnapshots(at('10'), at('-56'), { recovered: true })).toHaveLength(1)
    expect(diffSnapshots(at('10'), at('-56'), { recovered: true, open: 1 })).toEqual([])
    expect(diffSnapshots(at('10'), at('-58'), { recovered: true, open: 1 })).toHaveLength(1)
    expect(diffSnapshots(at('10'), at('12'), { recovered: true })).toHaveLength(1)
    expect(diffSnapshots(at('10'), at('8'))).toHaveLength(1)
  })
})

const ALGORITHMS = { 15: 'CRC32C', 16: 'SHA256', 17: 'SHA384', 18: 'CRC32C' }

describe.each(postgresVersions)('the backup manifest of Postgres %i', (version) => {
  it('fits its backup, tablespaces included, and any damage is named', async () => {
    const algorithm = ALGORITHMS[version]
    const postgres = await startPostgres({ version })
    const { oid } = await makeTablespace(postgres, 'elsewhere')
    await postgres.query('create table there (n int) tablespace elsewhere')
    await postgres.query('insert into there values (1)')
    const [there] = await postgres.query<{ path: string }>(`select pg_relation_filepath('there') as path`)
    const dataDir = await backupOf(postgres, oid, algorithm)
    expect(await verifyBackupManifest(dataDir)).toEqual([])

    await rm(join(dataDir, 'global/pg_filenode.map'))
    await rm(join(dataDir, there!.path))
    await writeFile(join(dataDir, 'PG_VERSION'), '99\n')
    await appendFile(join(dataDir, 'postgresql.conf'), '#')
    await writeFile(join(dataDir, 'base/surplus'), '')
    await writeFile(join(dataDir, 'recovery.signal'), '')
    expect((await verifyBackupManifest(dataDir)).sort()).toEqual([
      `PG_VERSION: ${algorithm} does not match`,
      'base/surplus: not in the manifest',
      'global/pg_filenode.map: missing',
      `${there!.path}: missing`,
      expect.stringMatching(/^postgresql.conf: \d+ bytes, but the manifest has \d+$/),
    ])
    await run('sed', ['-i', 's/PG_VERSION/PG_VERSIOM/', join(dataDir, 'backup_manifest')])
    expect(await verifyBackupManifest(dataDir)).toContain('backup_manifest: its own checksum does not match')
    await postgres.remove()
  })
})

// A base backup that the server writes to a directory itself, unpacked with tar.
async function backupOf(postgres: SandboxPostgres, tablespace: number, algorithm: string): Promise<string> {
  const target = join(await scratchDir('backup'), 'tar')
  const client = new Client({ connectionString: `${postgres.url()}?replication=true` })
  await client.connect()
  const options = `CHECKPOINT 'fast', MANIFEST 'yes', MANIFEST_CHECKSUMS '${algorithm}'`
  await client.query(`BASE_BACKUP (TARGET 'server', TARGET_DETAIL '${target}', ${options})`)
  await client.end()
  const [dataDir, location] = [await scratchDir('restored'), await scratchDir('restored')]
  await run('tar', ['-xf', join(target, 'base.tar'), '-C', dataDir])
  await run('tar', ['-xf', join(target, `${tablespace}.tar`), '-C', location])
  const link = join(dataDir, 'pg_tblspc', String(tablespace))
  await rm(link, { force: true })
  await symlink(location, link)
  await run('cp', [join(target, 'backup_manifest'), dataDir])
  return dataDir
}
