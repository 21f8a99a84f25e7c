import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { disagreements } from '../faults/agreement.js'
import { ArchivingServer } from '../sandbox/archiving.js'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { diffSnapshots, snapshotRows } from '../sandbox/compare.js'
import { Restores } from '../sandbox/restored.js'
import { removeScratch } from '../sandbox/scratch.js'
import { until } from '../sandbox/until.js'

let backedUp: BackedUpServer
let archiving: ArchivingServer

beforeEach(async () => {
  backedUp = await BackedUpServer.start({
    workerAsSandboxUser: true,
    initdb: ['--wal-segsize=1'],
    settings: { archive_mode: 'on' },
  })
  archiving = new ArchivingServer(backedUp)
})

afterEach(async () => {
  await backedUp.remove()
  await removeScratch()
})

test('a server whose WAL comes by archive_command alone is restored to its last segment', async () => {
  const restores = new Restores(backedUp.s3, 'backups')
  try {
    await archiving.alone()
    await backedUp.backUp()
    await backedUp.worker.stop()
    await backedUp.postgres.query('create table kept as select n, md5(n::text) v from generate_series(1, 50000) n')
    const name = await archiving.writeSegment()
    await archiving.archived(name)
    expect(await archiving.archiver()).toMatchObject({ failed_count: '0' })
    const restored = await restores.recover()
    const pair = [await snapshotRows(backedUp.postgres), await snapshotRows(restored)] as const
    expect(diffSnapshots(...pair, { recovered: true })).toEqual([])
    expect(await restored.query('select count(*) from kept')).toEqual([{ count: '50000' }])
  } finally {
    await restores.remove()
  }
})

test('WAL that was archived while no worker ran is not stored again by the next one', async () => {
  await backedUp.worker.says('streaming WAL')
  await backedUp.worker.stop()
  await archiving.alone()
  const names = []
  for (let n = 0; n < 3; n++) names.push(await archiving.writeSegment())
  await archiving.archived(names.at(-1)!)
  backedUp.startWorker()
  expect(await disagreements(backedUp)).toEqual([])
  const versions = archiving.versions()
  expect(names.map((name) => versions[name])).toEqual([1, 1, 1])
})

test('archiving fails while the box is down, and goes on when it is back', async () => {
  await backedUp.worker.stop()
  await archiving.alone()
  const undo = backedUp.s3.fail({ op: 'PostObject', times: Infinity, fault: { kind: 'down' } })
  const before = await archiving.archiver()
  const name = await archiving.writeSegment()
  await archiving.failedAfter(before)
  expect(await backedUp.postgres.log()).toContain('(box_unavailable)')
  expect(archiving.versions()[name]).toBeUndefined()
  undo()
  await archiving.archived(name)
  expect(archiving.versions()[name]).toBe(1)
})

test('archiving fails while there is no grant, and goes on when there is one', async () => {
  await backedUp.worker.stop()
  await backedUp.postgres.query('delete from backup._grant')
  await archiving.alone()
  const before = await archiving.archiver()
  const name = await archiving.writeSegment()
  await archiving.failedAfter(before)
  expect(await backedUp.postgres.log()).toContain('postbox: no grant is installed (grant_missing)')
  await backedUp.installGrant()
  await archiving.archived(name)
})

test('a server that stops while its WAL cannot be archived stops, and archives when it runs again', async () => {
  await backedUp.worker.stop()
  const { postgres } = backedUp
  await archiving.archiveBy({ POSTBOX_SOCKET: '/nonexistent/postbox.sock' })
  const before = await archiving.archiver()
  const name = await archiving.writeSegment()
  await archiving.failedAfter(before)
  expect(await postgres.log()).toContain('no worker answers at /nonexistent/postbox.sock')
  await postgres.stop()

  const { code, stderr } = await archiving.call(join('pg_wal', name), archiving.aloneEnv)
  expect(code).toBe(1)
  expect(stderr).toMatch(/^postbox: .* \(database_unavailable\)\nhint: .+\n$/)

  await postgres.start()
  await archiving.alone()
  await archiving.archived(name)
  expect(archiving.versions()[name]).toBe(1)
})

test('a promotion stores the history, and what Postgres archives besides needs no storing', async () => {
  await backedUp.worker.stop()
  const { postgres } = backedUp
  await archiving.alone()
  await archiving.archived(await archiving.writeSegment())
  await postgres.stop()
  await writeFile(join(postgres.dataDir, 'standby.signal'), '')
  await postgres.start()
  // What was tried while it stopped has failed.
  await postgres.query("select pg_stat_reset_shared('archiver')")
  await postgres.query('select pg_promote()')
  const name = await archiving.writeSegment()
  expect(name).toMatch(/^00000002/)
  await archiving.archived(name)
  expect(await postgres.log()).toMatch(/[0-9A-F]{24}\.partial needs no storing/)
  expect(await archiving.archiver()).toMatchObject({ failed_count: '0' })
  const versions = archiving.versions()
  expect(versions).toMatchObject({ '00000002.history': 1, [name]: 1 })
  expect(Object.keys(versions).filter((one) => /partial|backup/.test(one))).toEqual([])
  const [row] = await postgres.query<{ history: string }>('select history from backup._timeline')
  expect(row!.history).toMatch(/^1\t0\//)

  // Again, and with other content.
  const history = join('pg_wal', '00000002.history')
  expect(await archiving.call(history, archiving.aloneEnv)).toEqual({ code: 0, stdout: '', stderr: '' })
  expect(archiving.versions()['00000002.history']).toBe(1)
  await writeFile(archiving.walPath('00000002.history'), '1\t0/1500000\tanother\n')
  const other = await archiving.call(history, archiving.aloneEnv)
  expect(other.code).toBe(1)
  expect(other.stderr).toContain('the history of timeline 2 was stored before with other content (wal_conflict)')
  expect(archiving.versions()['00000002.history']).toBe(1)
})

test('a standby that is told to archive refuses before it posts', async () => {
  await backedUp.worker.stop()
  const { postgres } = backedUp
  const name = await archiving.writeSegment()
  await postgres.stop()
  await writeFile(join(postgres.dataDir, 'standby.signal'), '')
  await postgres.start()
  await until('the standby answers', async () => (await postgres.query('select 1')).length === 1)
  const posted = backedUp.s3.requests.length
  const { code, stderr } = await archiving.call(join('pg_wal', name), archiving.aloneEnv)
  expect(code).toBe(1)
  expect(stderr).toMatch(/cannot be recorded by a standby \(catalog_refused\)/)
  expect(backedUp.s3.requests).toHaveLength(posted)
})
