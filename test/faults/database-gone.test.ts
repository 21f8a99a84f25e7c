import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { until } from '../sandbox/until.js'
import { startWorkload } from '../sandbox/workload.js'
import { disagreements } from './agreement.js'
import { hold } from './hold.js'
import { checkBecomes, recordAllWal } from './observe.js'
import { showLogOfFailures } from './show-log.js'

let backedUp: BackedUpServer

beforeAll(async () => {
  backedUp = await BackedUpServer.start({ initdb: ['--wal-segsize=1'] })
})

afterAll(async () => {
  await backedUp.remove()
})

showLogOfFailures(() => backedUp)

const endings = {
  'shut down fast': () => backedUp.postgres.stop('fast'),
  'shut down immediately': () => backedUp.postgres.stop('immediate'),
  killed: () => backedUp.postgres.kill9(),
}

describe.each(Object.entries(endings))('a server that is %s and started again', (_, end) => {
  test('loses no WAL that was on its way', async () => {
    const workload = await startWorkload(backedUp.postgres)
    await backedUp.postgres.query('select pg_switch_wal()')
    const held = hold(backedUp.s3, 'before-store', { key: /\/wal\// })
    await held.reached()
    const rejected = workload.stop().catch(() => undefined)
    await end()
    await rejected
    held.release()
    await backedUp.postgres.start()
    await backedUp.postgres.query('drop schema workload cascade')
    expect(await disagreements(backedUp)).toEqual([])
  })

  test('loses no row of a segment that was stored while the server was idle', async () => {
    await recordAllWal(backedUp)
    const segments = () => backedUp.bucket.keys().filter((key) => key.includes('/wal/')).length
    const before = segments()
    // It holds nothing but the row of the one before it.
    await backedUp.postgres.query('select pg_switch_wal()')
    await until('the segment is stored', () => segments() > before)
    await end()
    await backedUp.postgres.start()
    await backedUp.postgres.query('checkpoint')
    expect(await disagreements(backedUp)).toEqual([])
  })

  test('gets the base backup that it broke off', async () => {
    const held = hold(backedUp.s3, 'before-store', { key: /\/base\/[^/]+\/base\// })
    const jobId = await backedUp.startBase()
    await held.reached()
    await end()
    held.release()
    await backedUp.postgres.start()
    expect(await backedUp.ended(jobId)).toMatchObject({ state: 'done', attempts: 2 })
    expect(await disagreements(backedUp)).toEqual([])
  })

  test('gets the base backup that was about to be committed', async () => {
    const held = hold(backedUp.s3, 'after-store', { key: /\/manifest-/ })
    const jobId = await backedUp.startBase()
    await held.reached()
    await end()
    held.release()
    await backedUp.postgres.start()
    expect(await backedUp.ended(jobId)).toMatchObject({ state: 'done', attempts: 2 })
    expect(await disagreements(backedUp)).toEqual([])
  })
})

test('a walsender that is ended in the middle of WAL costs nothing, and the worker goes on', async () => {
  const held = hold(backedUp.s3, 'before-store', { key: /\/wal\// })
  await backedUp.postgres.query('select pg_current_xact_id()')
  await backedUp.postgres.query('select pg_switch_wal()')
  await held.reached()
  const ended = await backedUp.postgres.query(
    "select pg_terminate_backend(pid) from pg_stat_replication where application_name = 'postbox'",
  )
  expect(ended).toHaveLength(1)
  held.release()
  expect(await disagreements(backedUp)).toEqual([])
  await checkBecomes(backedUp, 'worker', 'ok')
})
