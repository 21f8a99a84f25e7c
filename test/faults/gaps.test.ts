import { join } from 'node:path'
import type { Client } from 'pg'
import { afterEach, describe, expect, test } from 'vitest'
import { ArchivingServer } from '../sandbox/archiving.js'
import { postgresVersions } from '../sandbox/postgres.js'
import { Restores } from '../sandbox/restored.js'
import { until } from '../sandbox/until.js'
import { disagreements } from './agreement.js'
import { gapsAndWindows } from './exact-windows.js'
import { GapWatch } from './gap-watch.js'
import { checkBecomes, checkOf, recordAllWal, writeSegments } from './observe.js'
import { showLogOfFailures } from './show-log.js'

let watch: GapWatch
let listener: Client | null = null

afterEach(async () => {
  await listener?.end()
  listener = null
  await watch.server.remove()
})

showLogOfFailures(() => watch.server)

/** Listens on the channel `postbox`, and gives what was heard so far. */
async function listen(): Promise<(string | undefined)[]> {
  const heard: (string | undefined)[] = []
  listener = await watch.server.postgres.connect()
  listener.on('notification', ({ payload }) => heard.push(payload))
  await listener.query('listen postbox')
  return heard
}

/** Gaps and windows are those of the bucket, to the byte. */
async function windowsAreExact(): Promise<void> {
  await recordAllWal(watch.server)
  const { said, stored } = await gapsAndWindows(watch.server)
  expect(said).toEqual(stored)
}

/** What can be restored to, can; what lies in the gap, cannot. */
async function restoresAsTheWindowsSay(before: string, within: string, after: string): Promise<void> {
  const restores = new Restores(watch.server.s3, 'backups')
  const target = (at: string) => ['--target', `time=${at.replace(' ', 'T').replace(/\+00$/, 'Z')}`]
  try {
    for (const [at, moments] of [
      [before, 0],
      [after, 2],
    ] as const) {
      const restored = await restores.recover(target(at))
      expect(await restored.query('select from moment where n = 3')).toHaveLength(moments)
    }
    const { code } = await restores.attempt(target(within))
    expect(code).toBe(1)
  } finally {
    await restores.remove()
  }
}

describe.each(postgresVersions)('a slot lost to max_slot_wal_keep_size on Postgres %i', (version) => {
  test('leaves a row, a notification, a critical check and a base backup that closes it', async () => {
    watch = await GapWatch.start({ max_slot_wal_keep_size: '4MB' }, version)
    await watch.server.backUp()
    const before = await watch.moment()
    await watch.server.storeAllWal()
    const heard = await listen()

    const up = watch.server.s3.fail({ times: Infinity, fault: { kind: 'down' } })
    await writeSegments(watch.server, 1)
    // It must not make the next slot before the limit is off: that would be lost as well, and the gap grow.
    process.kill(watch.server.worker.pid, 'SIGSTOP')
    // What has come to the worker it still stores; this is more than it and the network hold.
    await writeSegments(watch.server, 30)
    const within = await watch.moment()
    await watch.loseSlot()
    await watch.server.postgres.query('alter system set max_slot_wal_keep_size = -1')
    await watch.server.postgres.query('select pg_reload_conf()')
    process.kill(watch.server.worker.pid, 'SIGCONT')
    up()
    await until('the worker streams again', async () => {
      const slots = 'select from pg_replication_slots where active and restart_lsn is not null'
      return (await watch.server.postgres.query(slots)).length === 1
    })
    const gap = await watch.firstGap()
    expect(gap).toMatchObject({
      reason: 'the replication slot postbox kept more than max_slot_wal_keep_size and was lost',
      found_at: expect.any(Date) as Date,
    })
    expect(watch.server.worker.log).toContain('the slot was lost and is made anew')
    await until('the gap was notified', () => heard.includes('gap'))
    expect(heard.filter((payload) => payload === 'gap')).toHaveLength(1)

    await watch.baseAfterGap()
    const after = await watch.moment()
    await watch.server.storeAllWal()
    await until('the last commit is recorded', () => watch.canRestoreTo(after))
    expect(await checkOf(watch.server, 'wal_gap')).toMatchObject({ state: 'ok' })
    expect([
      await watch.canRestoreTo(before),
      await watch.canRestoreTo(within),
      await watch.canRestoreTo(after),
    ]).toEqual([true, false, true])
    const windows = await watch.server.postgres.query('select from backup.recovery_windows')
    expect(windows).toHaveLength(2)
    expect(await watch.gaps()).toEqual([gap])
    await windowsAreExact()
    if (version === 18) await restoresAsTheWindowsSay(before, within, after)
  })
})

test('a gap is critical, and only that, where base backups are not to start by themselves', async () => {
  watch = await GapWatch.start({ max_slot_wal_keep_size: '4MB' })
  await watch.server.backUp()
  await watch.server.postgres.query(`select backup.configure('base_after_gap', 'off')`)
  await watch.server.storeAllWal()
  await watch.server.worker.stop()
  await watch.loseSlot()
  watch.server.startWorker()
  await watch.firstGap()
  expect(await checkBecomes(watch.server, 'wal_gap', 'crit')).toMatchObject({
    message: expect.stringContaining('max_slot_wal_keep_size') as string,
    hint: expect.stringContaining('backup.start_base()') as string,
  })
  await watch.server.storeAllWal()
  expect(await watch.countJobs()).toBe(1)
  await watch.server.backUp()
  expect(await checkOf(watch.server, 'wal_gap')).toMatchObject({ state: 'ok' })
})

test('a base backup that was waiting for the worker is not joined by another', async () => {
  watch = await GapWatch.start({ max_slot_wal_keep_size: '4MB' })
  await watch.server.backUp()
  await watch.server.storeAllWal()
  await watch.server.worker.stop()
  await watch.loseSlot()
  const jobId = await watch.server.startBase('mine')
  watch.server.startWorker()
  expect(await watch.server.ended(jobId)).toMatchObject({ state: 'done', attempts: 1 })
  expect(await watch.gaps()).toHaveLength(1)
  expect(await watch.countJobs()).toBe(2)
})

test('a slot that was dropped leaves a gap once its WAL is gone', async () => {
  watch = await GapWatch.start()
  await watch.server.backUp()
  await watch.server.storeAllWal()
  await watch.server.worker.stop()
  await watch.server.postgres.query(`select pg_drop_replication_slot('postbox')`)
  await watch.loseWal()
  watch.server.startWorker()
  expect(await watch.firstGap()).toMatchObject({ reason: 'the replication slot postbox was not there' })
  await watch.baseAfterGap()
  expect(await checkOf(watch.server, 'wal_gap')).toMatchObject({ state: 'ok' })
  await windowsAreExact()
})

test('WAL that was never stored, before some that was, is found by its missing rows', async () => {
  watch = await GapWatch.start({}, 18, { workerAsSandboxUser: true })
  const archiving = new ArchivingServer(watch.server)
  await watch.server.backUp()
  await watch.server.storeAllWal()
  await watch.server.worker.stop()
  await watch.server.postgres.query(`select pg_drop_replication_slot('postbox')`)
  await watch.loseWal()
  // As if somebody's archive_command had done nothing until now.
  const name = await archiving.writeSegment()
  expect(await archiving.call(join('pg_wal', name), archiving.aloneEnv)).toMatchObject({ code: 0 })
  expect(await watch.gaps()).toMatchObject([{ reason: null, found_at: null }])
  expect(await checkOf(watch.server, 'wal_gap')).toMatchObject({ state: 'crit' })
  const heard = await listen()
  watch.server.startWorker()
  await watch.baseAfterGap()
  expect(heard.filter((payload) => payload === 'gap')).toHaveLength(1)
  expect(await watch.firstGap()).toMatchObject({
    reason: 'it is not stored, and the server no longer had it',
    found_at: expect.any(Date) as Date,
  })
  expect(await checkOf(watch.server, 'wal_gap')).toMatchObject({ state: 'ok' })
  await windowsAreExact()
  // It is found once.
  await watch.server.worker.kill9()
  watch.server.startWorker()
  await watch.server.worker.says('streaming WAL')
  await recordAllWal(watch.server)
  expect([await watch.countJobs(), heard.filter((payload) => payload === 'gap')]).toEqual([2, ['gap']])
})

test('WAL that was never stored is stored late where the server still has it', async () => {
  watch = await GapWatch.start({ min_wal_size: '64MB', max_wal_size: '64MB' }, 18, { workerAsSandboxUser: true })
  const archiving = new ArchivingServer(watch.server)
  await watch.server.backUp()
  await watch.server.storeAllWal()
  await watch.server.worker.stop()
  await watch.server.postgres.query(`select pg_drop_replication_slot('postbox')`)
  await writeSegments(watch.server, 4)
  const name = await archiving.writeSegment()
  expect(await archiving.call(join('pg_wal', name), archiving.aloneEnv)).toMatchObject({ code: 0 })
  expect(await watch.gaps()).toHaveLength(1)
  watch.server.startWorker()
  await watch.server.worker.says('streaming WAL')
  await recordAllWal(watch.server)
  await until('the gap is filled', async () => (await watch.gaps()).length === 0)
  expect(await watch.countJobs()).toBe(1)
  await windowsAreExact()
})

test('a slot that was made by hand and keeps nothing leaves a gap, and says so', async () => {
  watch = await GapWatch.start()
  await watch.server.backUp()
  await watch.server.storeAllWal()
  await watch.server.worker.stop()
  await watch.server.postgres.query(`select pg_drop_replication_slot('postbox')`)
  await watch.server.postgres.query(`select pg_create_physical_replication_slot('postbox')`)
  await watch.loseWal()
  watch.server.startWorker()
  expect(await watch.firstGap()).toMatchObject({ reason: 'the replication slot postbox kept no WAL' })
  expect(watch.server.worker.log).toContain('the slot kept no WAL and is made anew')
  await watch.baseAfterGap()
  await windowsAreExact()
})

test('a worker that was off while others wrote leaves no gap', async () => {
  watch = await GapWatch.start()
  await watch.server.backUp()
  await watch.server.worker.stop()
  for (let n = 0; n < 8; n++) {
    await writeSegments(watch.server, 10)
    await watch.server.postgres.query('checkpoint')
  }
  const at = await watch.moment()
  watch.server.startWorker()
  await watch.server.worker.says('streaming WAL')
  expect(await disagreements(watch.server)).toEqual([])
  await until('the last commit is recorded', () => watch.canRestoreTo(at))
  expect(watch.server.worker.log).not.toContain('made the slot')
  expect(await watch.countJobs()).toBe(1)
  await windowsAreExact()
})

test('WAL beyond wal_keep_limit is given up where the box takes nothing, and never while it takes some', async () => {
  watch = await GapWatch.start()
  await watch.server.backUp()
  await watch.server.postgres.query(`select backup.configure('wal_keep_limit', '1MB')`)
  // The server is idle: the slot may keep more than that and nothing waits. A box that takes WAL is never in the way.
  await writeSegments(watch.server, 30)
  await watch.server.postgres.query('checkpoint')
  expect(await disagreements(watch.server)).toEqual([])

  const up = watch.server.s3.fail({
    op: 'PostObject',
    times: Infinity,
    fault: { kind: 'status', status: 403, code: 'AccessDenied', message: 'Access Denied' },
  })
  await writeSegments(watch.server, 20)
  await watch.server.postgres.query('checkpoint')
  const gap = await watch.firstGap(90_000)
  expect(gap.reason).toBe(
    'the box took nothing (box_refused) and the replication slot postbox kept more than wal_keep_limit',
  )
  expect(watch.server.worker.log).toContain('the slot is given up')
  await checkBecomes(watch.server, 'wal_gap', 'crit')
  await watch.loseWal()
  const lastJob = () => watch.one<string>('select state::text from backup.jobs order by job_id desc limit 1')
  await until('its base backup has failed for the same reason', async () => (await lastJob()) === 'failed')
  up()
  // What comes with a new grant is that everything is tried again at once.
  await watch.server.installGrant()
  await writeSegments(watch.server, 1)
  await until('it was begun again, and is done', async () => (await lastJob()) === 'done')
  expect(await checkOf(watch.server, 'wal_gap')).toMatchObject({ state: 'ok' })
  expect(await watch.gaps()).toHaveLength(1)
  await windowsAreExact()
})

test('an idle worker never makes a gap, however little the slot may keep', async () => {
  watch = await GapWatch.start({ max_slot_wal_keep_size: '4MB', archive_timeout: '1s', autovacuum: 'off' })
  await watch.server.backUp()
  await watch.server.postgres.query(`select backup.configure('wal_keep_limit', '1MB')`)
  // Nothing but what a server writes by itself, until more than the slot may keep has passed.
  for (let n = 0; n < 12; n++) {
    await watch.server.storeAllWal()
    await watch.server.postgres.query('checkpoint')
  }
  expect(await disagreements(watch.server)).toEqual([])
  expect(await watch.slotState()).not.toBe('lost')
  expect(await watch.countJobs()).toBe(1)
  expect(watch.server.worker.log).not.toContain('the slot is given up')
})
