import { readdir } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { parseSegmentKey } from '../../src/box/key-names.js'
import { parseLsn } from '../../src/wal/lsn.js'
import { parseSegmentName } from '../../src/wal/segment.js'
import { ArchivingServer } from '../sandbox/archiving.js'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { diffSnapshots, snapshotRows } from '../sandbox/compare.js'
import { Restores } from '../sandbox/restored.js'
import { removeScratch } from '../sandbox/scratch.js'
import { until } from '../sandbox/until.js'
import { missingRows, startWorkload, type Workload } from '../sandbox/workload.js'
import { disagreements } from './agreement.js'
import { hold } from './hold.js'
import { showLogOfFailures } from './show-log.js'

const SEGMENT_BYTES = 1024 * 1024

let backedUp: BackedUpServer
let archiving: ArchivingServer
let restores: Restores
let workload: Workload

beforeAll(async () => {
  backedUp = await BackedUpServer.start({
    workerAsSandboxUser: true,
    initdb: ['--wal-segsize=1'],
    settings: { archive_mode: 'on' },
  })
  restores = new Restores(backedUp.s3, 'backups')
  archiving = new ArchivingServer(backedUp)
  await archiving.byWorker()
  await backedUp.backUp()
  workload = await startWorkload(backedUp.postgres)
})

beforeEach(() => {
  workload.resume()
})

afterAll(async () => {
  await workload.stop()
  await restores.remove()
  await backedUp.remove()
  await removeScratch()
})

showLogOfFailures(() => backedUp)

/** Waits until so many files more are archived. */
async function archivedMore(count: number): Promise<void> {
  const { archived_count } = await archiving.archiver()
  await until(`${count} segments more are archived`, async () => {
    const now = await archiving.archiver()
    if (Number(now.archived_count) >= Number(archived_count) + count) return true
    // After three failures Postgres pauses for a minute, unless it is woken.
    await backedUp.postgres.query('select pg_reload_conf()')
    return false
  })
}

const killBoth = () => Promise.all([backedUp.postgres.kill9(), backedUp.worker.kill9()])

/** Segments of which archive-wal has said to Postgres that they are archived. */
async function saidToBeArchived(): Promise<string[]> {
  const files = await readdir(archiving.walPath('archive_status'))
  return files.flatMap((file) => /^([0-9A-F]{24})\.done$/.exec(file)?.[1] ?? []).sort()
}

/** The worker stores nothing any more but what archive-wal gives it. */
async function streamNoMore(): Promise<void> {
  await backedUp.postgres.query('alter role postbox_worker noreplication')
  await until('nothing streams', async () => {
    const rows = await backedUp.postgres.query(
      "select pg_terminate_backend(pid) from pg_stat_replication where application_name = 'postbox'",
    )
    return rows.length === 0
  })
}

/** All that is written now is archived, and catalog and bucket agree. */
async function agrees(): Promise<void> {
  await workload.pause()
  await archiving.archived(await archiving.writeSegment())
  expect(await disagreements(backedUp)).toEqual([])
}

test('WAL that is streamed and archived at once is there in full after both are killed at any moment', async () => {
  for (let round = 0; round < 3; round++) {
    await archivedMore(1)
    await delay(Math.random() * 500)
    await killBoth()
    await backedUp.postgres.start()
    backedUp.startWorker()
  }
  await archivedMore(1)
  await agrees()
})

test.each([
  ['before the segment is stored', 'before-store'],
  ['when the segment is stored and archive-wal has not heard of it', 'after-store'],
] as const)('what archive-wal alone has stored is restored when both are killed %s', async (_, when) => {
  await streamNoMore()
  await archivedMore(2)
  const held = hold(backedUp.s3, when, { op: 'PostObject', key: /\/wal\// })
  await held.reached()
  await killBoth()

  const names = await saidToBeArchived()
  const stored = backedUp.bucket.keys().map((key) => parseSegmentKey(key)?.name)
  expect(names.filter((name) => !stored.includes(name))).toEqual([])
  const end = parseSegmentName(names.at(-1)!, SEGMENT_BYTES).start + BigInt(SEGMENT_BYTES)
  const safe = workload.acknowledged.filter(({ lsn }) => parseLsn(lsn) <= end)
  expect(safe.length).toBeGreaterThan(20)
  expect(await missingRows(await restores.recover(), safe)).toEqual([])
  await restores.remove()

  held.release()
  await backedUp.postgres.start()
  await backedUp.postgres.query('alter role postbox_worker replication')
  await backedUp.startWorker().says('streaming WAL')
  await agrees()
})

test('after all that the server is restored to its last row', async () => {
  await archivedMore(1)
  await agrees()
  const rows = await snapshotRows(backedUp.postgres)
  await killBoth()
  await workload.stop()
  expect(diffSnapshots(rows, await snapshotRows(await restores.recover()), { recovered: true })).toEqual([])
})
