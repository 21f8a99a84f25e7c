import { afterEach, describe, expect, test } from 'vitest'
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
})
