import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startPostgres } from '../sandbox/postgres.js'
import { cutOff, follow } from '../sandbox/standby.js'
import { until } from '../sandbox/until.js'
import { disagreements, storedManifests } from './agreement.js'
import { hold } from './hold.js'
import { checkBecomes, checkOf, recordAllWal, writeSegments } from './observe.js'
import { showLogOfFailures } from './show-log.js'
import { StandbyPair } from './standby-pair.js'

let pair: StandbyPair

beforeAll(async () => {
  pair = await StandbyPair.start()
  await pair.primary.query("select backup.configure('wal_max_delay', '4s')")
  await pair.workFromStandby()
  await pair.server.backUp()
})
afterAll(async () => {
  await pair.remove()
})
showLogOfFailures(() => pair.server)

const change = () => pair.primary.query('select pg_current_xact_id()')

interface Status {
  durable_lsn: string | null
  bytes_at_risk: string | null
  seconds_at_risk: string | null
}

async function status(): Promise<Status> {
  const [row] = await pair.primary.query<Status>('select * from backup.status')
  return row!
}

describe('a worker that reads from a standby and is killed', () => {
  test('while it streams, leaves nothing out', async () => {
    const held = hold(pair.server.s3, 'after-store', { key: /\/wal\// })
    await writeSegments(pair.server, 3)
    await held.reached(3)
    await pair.server.worker.kill9()
    held.release()
    await pair.workFromStandby()
    expect(await disagreements(pair.server)).toEqual([])
  })

  test('while it backs up, begins the backup anew', async () => {
    const before = storedManifests(pair.server).length
    const held = hold(pair.server.s3, 'before-store', { key: /\/base\/[^/]+\/base\// })
    const jobId = await pair.server.startBase()
    await held.reached()
    await pair.server.worker.kill9()
    held.release()
    await pair.workFromStandby()
    expect(await pair.server.ended(jobId)).toMatchObject({ state: 'done', attempts: 2 })
    expect(storedManifests(pair.server)).toHaveLength(before + 1)
    expect(await disagreements(pair.server)).toEqual([])
  })
})

describe('on the primary', () => {
  test('the safe position is what the standby was told, to the byte, and to the tail', async () => {
    await recordAllWal(pair.server)
    await pair.primary.query('create table small as select 1')
    const [end] = await pair.primary.query<{ lsn: string }>('select pg_current_wal_lsn()::text lsn')
    await until('all of it is safe, for anybody who looks', async () => {
      const [row] = await pair.primary.query<{ safe: boolean }>(
        `select durable_lsn >= $1::pg_lsn and bytes_at_risk = 0 and seconds_at_risk = 0 as safe from backup.status`,
        [end!.lsn],
        { user: 'postbox_worker' },
      )
      return row!.safe
    })
  })

  test('a standby that nothing comes to is critical by the age of the WAL, and well again when it follows', async () => {
    await cutOff(pair.standby)
    await change()
    const late = await checkBecomes(pair.server, 'wal_delay', 'crit')
    expect(late.message).toMatch(/^the oldest WAL that is not stored is [4-9]\.\d s old$/)
    expect(Number((await status()).bytes_at_risk)).toBeGreaterThan(0)
    // Neither the worker nor the slot is to blame.
    for (const name of ['worker', 'slot']) expect(await checkOf(pair.server, name)).toMatchObject({ state: 'ok' })
    await follow(pair.standby, pair.primary)
    await pair.standby.query('select pg_reload_conf()')
    await checkBecomes(pair.server, 'wal_delay', 'ok')
    expect(await disagreements(pair.server)).toEqual([])
  })

  test('a standby that is down is critical at once, and well again when it is back', async () => {
    await pair.standby.stop()
    await change()
    await checkBecomes(pair.server, 'worker', 'crit')
    expect(await checkBecomes(pair.server, 'slot', 'crit')).toMatchObject({
      message: `WAL is not read from the standby 127.0.0.1:${pair.standby.port}, where the replication slot is`,
    })
    await checkBecomes(pair.server, 'wal_delay', 'crit')
    await pair.standby.start()
    for (const name of ['worker', 'slot', 'wal_delay']) await checkBecomes(pair.server, name, 'ok')
    expect(await disagreements(pair.server)).toEqual([])
  })

  test('a slot that is left from before keeps WAL for nobody, and that is said', async () => {
    await pair.primary.query(`select pg_create_physical_replication_slot('postbox', true)`)
    expect(await checkOf(pair.server, 'slot')).toMatchObject({
      state: 'warn',
      hint: `Drop it here: select pg_drop_replication_slot('postbox').`,
    })
    await pair.primary.query(`select pg_drop_replication_slot('postbox')`)
    expect(await checkOf(pair.server, 'slot')).toMatchObject({ state: 'ok' })
  })

  test('nobody but the worker is believed', async () => {
    const { durable_lsn } = await status()
    const stranger = await pair.primary.connect()
    await stranger.query(`set application_name = 'postbox worker 1 FFFFFFFF/FFFFFFFF 1700000000.0 reads'`)
    expect((await status()).durable_lsn).toBe(durable_lsn)
    await stranger.end()
  })

  test('without a worker the rows say how far WAL is safe, and it is critical', async () => {
    await recordAllWal(pair.server)
    await pair.server.worker.stop()
    await change()
    const [row] = await pair.primary.query<{ lsn: string }>('select max(to_lsn)::text lsn from backup.wal_coverage')
    expect(await status()).toMatchObject({ durable_lsn: row!.lsn })
    for (const name of ['worker', 'slot']) expect(await checkOf(pair.server, name)).toMatchObject({ state: 'crit' })
    await checkBecomes(pair.server, 'wal_delay', 'crit')
    await pair.workFromStandby()
    await checkBecomes(pair.server, 'wal_delay', 'ok')
  })
})

test('on the standby the views tell of its slot, and send to the primary for the rest', async () => {
  const at = { postgres: pair.standby }
  for (const name of ['slot', 'wal_delay']) expect(await checkBecomes(at, name, 'ok')).toMatchObject({ hint: null })
  expect(await checkOf(at, 'worker')).toMatchObject({
    state: 'warn',
    message: 'this is a standby: whether a worker runs is seen on the primary',
  })
})

describe('addresses that do not fit', () => {
  test('a source of another system is refused by name', async () => {
    const stranger = await startPostgres()
    await stranger.query('create role postbox_worker login replication')
    try {
      const worker = pair.worker({ POSTBOX_SOURCE_URL: pair.urls(stranger) })
      await pair.server.worker.stop()
      expect(await worker.ended).toBe(1)
      expect(worker.log).toMatch(
        /postbox: the source is of another system, \d+, than the database, \d+ \(config_invalid\)/,
      )
      expect(worker.log).toContain('hint: POSTBOX_SOURCE_URL may name standbys')

      const list = pair.worker({ POSTBOX_DATABASE_URL: pair.urls(pair.primary, stranger) })
      expect(await list.ended).toBe(1)
      expect(list.log).toMatch(/are not copies of one server: their system identifiers differ \(config_invalid\)/)
    } finally {
      await stranger.remove()
    }
  })

  test('a standby cannot hold the catalog', async () => {
    const worker = pair.worker({ POSTBOX_DATABASE_URL: pair.urls(pair.standby) })
    expect(await worker.ended).toBe(1)
    expect(worker.log).toMatch(/\(catalog_refused\)\nhint: This server is a standby: point Postbox at the primary\./)
  })

  test('of several addresses the primary is taken, wherever it stands', async () => {
    await pair.workFromStandby({ POSTBOX_DATABASE_URL: pair.urls(pair.standby, pair.primary) })
    expect(await pair.primary.query('select worker_alive from backup.status')).toEqual([{ worker_alive: true }])
    expect(await disagreements(pair.server)).toEqual([])
  })

  test('where the first source is away the next one is read', async () => {
    await pair.server.worker.stop()
    await pair.standby.stop()
    pair.server.source = pair.primary
    pair.server.startWorker({ POSTBOX_SOURCE_URL: pair.urls(pair.standby, pair.primary) })
    await pair.server.worker.says('streaming WAL')
    await pair.server.backUp()
    expect(await disagreements(pair.server)).toEqual([])
  })
})
