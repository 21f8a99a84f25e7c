import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { diffSnapshots, snapshotRows } from '../sandbox/compare.js'
import { sandboxOwned, scratchDir } from '../sandbox/postgres.js'
import { storedManifests } from './agreement.js'
import { hold } from './hold.js'
import { startPlainly } from './plain-restore.js'
import { showLogOfFailures } from './show-log.js'

let backedUp: BackedUpServer
let scratch: string

const tables = (where: string) => `
create table kept${where} as select n, md5(n::text) from generate_series(1, 20000) n;
create table dropped${where} as select n, md5(n::text) from generate_series(1, 20000) n;
create table truncated${where} as select n, md5(n::text) from generate_series(1, 20000) n;
create table rewritten${where} as select n, md5(n::text) from generate_series(1, 20000) n;
create unlogged table unlogged${where} as select n, md5(n::text) from generate_series(1, 20000) n;
create index kept${where}_idx on kept${where} (md5);
`

const changes = (where: string) => `
drop table dropped${where};
truncate truncated${where};
insert into truncated${where} values (1, 'new');
update rewritten${where} set md5 = 'changed' where n % 2 = 0;
delete from kept${where} where n % 3 = 0;
create table created${where} as select n, md5(n::text) from generate_series(1, 20000) n;
`

beforeAll(async () => {
  scratch = await scratchDir('space')
  backedUp = await BackedUpServer.start()
  const { postgres } = backedUp
  for (const name of ['stays', 'goes', 'comes']) await sandboxOwned(join(scratch, name))
  for (const name of ['stays', 'goes'])
    await postgres.query(`create tablespace ${name} location '${join(scratch, name)}'`)
  await postgres.query(tables('_here'))
  await postgres.query('set default_tablespace = stays;' + tables('_there'))
  await postgres.query('create table last (n int) tablespace goes')
  await postgres.query("select backup.configure('part_bytes', '1MB')")
  await postgres.query("select backup.configure('upload_connections', '1')")
})

afterAll(async () => {
  await backedUp.remove()
})

showLogOfFailures(() => backedUp)

test('a base backup during which tables, databases and tablespaces come and go is restored to the last row', async () => {
  const { postgres, s3, bucket } = backedUp
  const held = hold(s3, 'before-store', { key: /\/base\/[^/]+\/[^/]+\/0/ })
  const jobId = await backedUp.startBase()
  await held.reached()

  // What is copied already, what is not yet, and what is being copied: some files are in each state.
  await postgres.query(changes('_here'))
  await postgres.query('set default_tablespace = stays;' + changes('_there'))
  await postgres.query('vacuum full rewritten_here')
  await postgres.query('vacuum full rewritten_there')
  await postgres.query('drop table last')
  await postgres.query(`create tablespace comes location '${join(scratch, 'comes')}'`)
  await postgres.query('create table first (n int) tablespace comes')
  await postgres.query('create database another')
  await postgres.query('checkpoint')
  // Waits for every process of the server, the one that copies included, and that waits for the box.
  const dropped = postgres.query('drop tablespace goes')
  held.release()
  await dropped

  expect(await backedUp.ended(jobId)).toMatchObject({ state: 'done', attempts: 1 })
  await postgres.query('insert into first values (1)')
  const before = await snapshotRows(postgres)
  await backedUp.storeAllWal()
  expect(storedManifests(backedUp)[0]!.archives).toHaveLength(3)
  // Recovery makes the tablespace that came again at its own place.
  await postgres.stop()
  const manifestKey = bucket.keys().find((key) => key.includes('/manifest-'))!
  const restored = await startPlainly(bucket, manifestKey)
  try {
    expect(diffSnapshots(before, await snapshotRows(restored), { recovered: true })).toEqual([])
    expect(await restored.query("select 1 from pg_database where datname = 'another'")).toHaveLength(1)
  } finally {
    await restored.remove()
    await postgres.start()
  }
})
