import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { ArchivingServer } from '../sandbox/archiving.js'
import { Restores } from '../sandbox/restored.js'
import { until } from '../sandbox/until.js'
import { disagreements } from './agreement.js'
import { GapWatch } from './gap-watch.js'
import { checkOf, writeSegments } from './observe.js'
import { promote } from './promote.js'
import { showLogOfFailures } from './show-log.js'

let watch: GapWatch

afterEach(async () => {
  await watch.server.remove()
})

showLogOfFailures(() => watch.server)

/** What a failover is to the worker: the server goes on as a new timeline, on which there is no slot. */
async function promoteWithoutSlot(): Promise<void> {
  const { postgres } = watch.server
  await promote(postgres)
  await postgres.query(`select pg_drop_replication_slot('postbox')`)
}

describe('a server that was promoted while the worker was off, without its slot', () => {
  test('leaves no gap while it has the WAL of the old timeline', async () => {
    watch = await GapWatch.start({ max_wal_size: '64MB', min_wal_size: '64MB' })
    await watch.server.backUp()
    await watch.server.worker.stop()
    await writeSegments(watch.server, 5)
    const before = await watch.moment()
    await promoteWithoutSlot()
    const after = await watch.moment()
    watch.server.startWorker()
    await watch.server.worker.says('streaming WAL')
    await until('the last commit is recorded', async () => {
      await watch.server.storeAllWal()
      return watch.canRestoreTo(after)
    })
    expect([await watch.canRestoreTo(before), await watch.gaps()]).toEqual([true, []])
    expect(await disagreements(watch.server)).toEqual([])
  })

  test('leaves a gap on the old timeline when it has not', async () => {
    watch = await GapWatch.start()
    await watch.server.backUp()
    await watch.server.storeAllWal()
    await watch.server.worker.stop()
    const { restart } = (
      await watch.server.postgres.query<{ restart: string }>(
        'select max(to_lsn)::text as restart from backup.wal_coverage',
      )
    )[0]!
    await watch.server.postgres.query(`select pg_drop_replication_slot('postbox')`)
    await watch.loseWal()
    await watch.server.postgres.query(`select pg_create_physical_replication_slot('postbox', true)`)
    await promoteWithoutSlot()
    watch.server.startWorker()
    expect(await watch.firstGap()).toMatchObject({
      from_lsn: restart,
      reason: 'the replication slot postbox was not there',
    })
    await watch.baseAfterGap()
    expect(await checkOf(watch.server, 'wal_gap')).toMatchObject({ state: 'ok' })
  })

  describe('and whose archive-wal stored some of the new timeline before the worker came', () => {
    const start = (settings: Record<string, string> = {}) => GapWatch.start(settings, 18, { workerAsSandboxUser: true })

    async function archive(names: readonly string[]): Promise<void> {
      const archiving = new ArchivingServer(watch.server)
      for (const name of [...names, await archiving.writeSegment()]) {
        expect(await archiving.call(join('pg_wal', name), archiving.aloneEnv)).toMatchObject({ code: 0 })
      }
    }

    test.each([
      ['with its history', ['00000002.history']],
      ['without its history', []],
    ])('leaves no gap while it has the WAL of the old timeline, %s', async (_, names) => {
      watch = await start({ max_wal_size: '64MB', min_wal_size: '64MB' })
      await watch.server.backUp()
      await watch.server.worker.stop()
      await writeSegments(watch.server, 5)
      const before = await watch.moment()
      await promoteWithoutSlot()
      await archive(names)
      const after = await watch.moment()
      expect(await watch.gaps()).toHaveLength(names.length)
      watch.server.startWorker()
      await watch.server.worker.says('streaming WAL')
      await until('the last commit is recorded', async () => {
        await watch.server.storeAllWal()
        return watch.canRestoreTo(after)
      })
      await until('the gap is filled', async () => (await watch.gaps()).length === 0)
      expect([await watch.canRestoreTo(before), await watch.countJobs()]).toEqual([true, 1])
      const restores = new Restores(watch.server.s3, 'backups')
      try {
        const restored = await restores.recover()
        expect(await restored.query('select from moment where n = 3')).toHaveLength(2)
      } finally {
        await restores.remove()
      }
    })

    test('leaves a gap that is found and followed by a base backup when it has not', async () => {
      watch = await start()
      await watch.server.backUp()
      await watch.server.storeAllWal()
      await watch.server.worker.stop()
      await watch.server.postgres.query(`select pg_drop_replication_slot('postbox')`)
      await watch.loseWal()
      await promote(watch.server.postgres)
      await archive(['00000002.history'])
      expect(await watch.gaps()).toMatchObject([{ reason: null, found_at: null }])
      const heard: (string | undefined)[] = []
      const listener = await watch.server.postgres.connect()
      try {
        listener.on('notification', ({ payload }) => heard.push(payload))
        await listener.query('listen postbox')
        watch.server.startWorker()
        await watch.baseAfterGap()
      } finally {
        await listener.end()
      }
      expect(heard.filter((payload) => payload === 'gap')).toHaveLength(1)
      expect(await watch.gaps()).toMatchObject([{ reason: 'it is not stored, and the server no longer had it' }])
      expect(await checkOf(watch.server, 'wal_gap')).toMatchObject({ state: 'ok' })
    })
  })
})
