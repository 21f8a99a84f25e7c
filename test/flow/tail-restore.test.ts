import { appendFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, test } from 'vitest'
import { parseSegmentKey, parseTailKey } from '../../src/box/key-names.js'
import { formatLsn, parseLsn } from '../../src/wal/lsn.js'
import { segmentName } from '../../src/wal/segment.js'
import { BackedUpServer, type BackedUpOptions } from '../sandbox/backed-up-server.js'
import { WorkerProcess } from '../sandbox/command.js'
import { postgresVersions, removeScratch, type SandboxPostgres } from '../sandbox/postgres.js'
import { promoted, Restores } from '../sandbox/restored.js'
import { until } from '../sandbox/until.js'
import { missingRows, startWorkload, type Acknowledged, type Workload } from '../sandbox/workload.js'

const MB = 1024 * 1024

let backedUp: BackedUpServer
let restores: Restores

afterEach(async () => {
  await restores.remove()
  await backedUp.remove()
})

afterAll(() => removeScratch())

async function start(options: BackedUpOptions = {}): Promise<Workload> {
  backedUp = await BackedUpServer.start(options)
  restores = new Restores(backedUp.s3, 'backups', backedUp.postgres.version)
  return startWorkload(backedUp.postgres)
}

const written = (workload: Workload, rows: number) =>
  until(`${rows} rows more`, () => workload.acknowledged.length >= rows)

/** Waits until everything that was answered is reported as durable. */
async function allDurable({ acknowledged }: Workload): Promise<void> {
  const { lsn } = acknowledged.at(-1)!
  await until(`${lsn} is durable`, async () => {
    const [row] = await backedUp.postgres.query<{ durable: boolean }>(
      "select coalesce(max(flush_lsn) >= $1::pg_lsn, false) durable from pg_stat_replication where application_name = 'postbox'",
      [lsn],
    )
    return row!.durable
  })
}

/** Server and worker are lost at once, with nothing but the bucket left. */
async function lose(workload: Workload): Promise<void> {
  await backedUp.postgres.kill9()
  await backedUp.worker.kill9()
  await workload.stop()
}

const tails = () =>
  backedUp.bucket
    .keys()
    .map((key) => ({ key, ...parseTailKey(key)! }))
    .filter(({ name }) => name !== undefined)

/** Name of the newest segment that has tails. */
const newestTailed = () =>
  tails()
    .map(({ name }) => name)
    .sort()
    .at(-1)!

/** Tails of the last segment in their order, which is not stored whole. */
function lastTails() {
  const name = newestTailed()
  expect(backedUp.bucket.keys().filter((key) => parseSegmentKey(key)?.name === name)).toEqual([])
  return tails().filter((one) => one.name === name)
}

/** Rows that came after a moment; the two clients may be one row apart. */
const laterRows = (server: SandboxPostgres, moment: Acknowledged) =>
  server.query('select row_id from workload.entry where row_id > $1', [moment.row_id + 2])

describe.each(postgresVersions)('Postgres %i, lost with its last segment unfinished', (version) => {
  test('is restored with every row that was reported durable, and to a moment in that segment', async () => {
    const workload = await start({ version })
    await backedUp.backUp()
    await written(workload, workload.acknowledged.length + 50)
    await allDurable(workload)
    await written(workload, workload.acknowledged.length + 50)
    await workload.pause()
    await allDurable(workload)
    await lose(workload)
    const { acknowledged } = workload
    expect(lastTails().length).toBeGreaterThan(0)

    const recovered = await restores.recover()
    expect(await missingRows(recovered, acknowledged)).toEqual([])

    const half = acknowledged.at(-60)!
    const target = half.committed_by.replace(' ', 'T').replace(/\+00$/, 'Z')
    const earlier = await restores.recover(['--target', `time=${target}`])
    expect(await missingRows(earlier, acknowledged.slice(0, acknowledged.indexOf(half) + 1))).toEqual([])
    expect(await laterRows(earlier, half)).toEqual([])
  })
})

describe('a restore from tails', () => {
  test('joins those of a worker that was killed several times within a segment', async () => {
    const workload = await start()
    await backedUp.backUp()
    for (let round = 0; round < 3; round++) {
      await written(workload, workload.acknowledged.length + 20)
      await allDurable(workload)
      await backedUp.worker.kill9()
      backedUp.startWorker()
    }
    await workload.pause()
    await allDurable(workload)
    await lose(workload)
    const beginnings = lastTails().filter(({ from }) => Number(from % BigInt(16 * MB)) === 0)
    expect(beginnings.length).toBeGreaterThan(1)
    expect(await missingRows(await restores.recover(), workload.acknowledged)).toEqual([])
  })

  test('of a server that was restored from tails goes on along its new timeline', async () => {
    const workload = await start()
    await backedUp.backUp()
    await written(workload, workload.acknowledged.length + 20)
    await workload.pause()
    await allDurable(workload)
    await lose(workload)

    const second = await restores.recover()
    const worker = new WorkerProcess({ POSTBOX_DATABASE_URL: second.url({ user: 'postbox_worker' }) })
    await second.query("create table second as select 'kept' as life")
    await until('the second life is durable', async () => {
      const [row] = await second.query<{ durable: boolean }>(
        `select coalesce(bool_or(flush_lsn >= pg_current_wal_flush_lsn()), false) durable
         from pg_stat_replication where application_name = 'postbox'`,
      )
      return row!.durable
    })
    await second.kill9()
    await worker.kill9()
    expect(backedUp.bucket.keys().filter((key) => key.includes('/wal/00000002/'))).toEqual([])

    const third = await restores.recover()
    expect(await third.query('select life from second')).toEqual([{ life: 'kept' }])
    expect(await missingRows(third, workload.acknowledged)).toEqual([])
    // And the first life alone, when it is asked for.
    const first = await restores.recover(['--target-timeline', '1'])
    expect(await first.query("select to_regclass('second') as there")).toEqual([{ there: null }])
    expect(await missingRows(first, workload.acknowledged)).toEqual([])
  })

  test('of 1 MB segments gives every row, in many segments and the last one', async () => {
    const workload = await start({ initdb: ['--wal-segsize=1'] })
    await backedUp.backUp()
    await written(workload, workload.acknowledged.length + 400)
    await workload.pause()
    await allDurable(workload)
    await lose(workload)
    expect(await missingRows(await restores.recover(), workload.acknowledged)).toEqual([])
  })

  test('ends at a damaged tail that no other covers, says so before, and loses nothing in front of it', async () => {
    const workload = await start()
    await backedUp.backUp()
    for (let round = 0; round < 4; round++) {
      await written(workload, workload.acknowledged.length + 10)
      await allDurable(workload)
    }
    await workload.pause()
    await allDurable(workload)
    await lose(workload)
    const damaged = lastTails().at(-2)!
    backedUp.bucket.corrupt(damaged.key)

    const { stdout } = await restores.attempt(['--dry-run', '--json'])
    const { reachable_lsn, notes } = JSON.parse(stdout) as { reachable_lsn: string; notes: string[] }
    expect(reachable_lsn).toBe(formatLsn(damaged.from))
    expect(notes.join()).toContain(damaged.key)
    const recovered = await restores.recover()
    const safe = workload.acknowledged.filter(({ lsn }) => parseLsn(lsn) <= damaged.from)
    expect(safe.length).toBeLessThan(workload.acknowledged.length)
    expect(await missingRows(recovered, safe)).toEqual([])
    const [end] = await recovered.query<{ name: string }>(`select redo_wal_file as name from pg_control_checkpoint()`)
    expect(end!.name).toBe(segmentName({ timeline: 2, start: damaged.from }, 16 * MB))
  })
})

describe('a standby that has nothing but the archive', () => {
  test('follows the tails as they come, over the end of a segment, and can be promoted', async () => {
    const workload = await start({ initdb: ['--wal-segsize=1'] })
    await backedUp.backUp()
    const dataDir = await restores.restore()
    await rename(join(dataDir, 'recovery.signal'), join(dataDir, 'standby.signal'))
    await appendFile(join(dataDir, 'postgresql.auto.conf'), "wal_retrieve_retry_interval = '100ms'\n")
    const standby = await restores.start(dataDir)
    const first = newestTailed()
    for (let round = 0; round < 3; round++) {
      await written(workload, workload.acknowledged.length + 150)
      const newest = workload.acknowledged.slice(-1)
      await until('it has what was the newest row', async () => (await missingRows(standby, newest)).length === 0)
    }
    expect(newestTailed() > first).toBe(true)
    await workload.pause()
    await allDurable(workload)
    await until('it has every row', async () => (await missingRows(standby, workload.acknowledged)).length === 0)
    await lose(workload)
    await standby.query('select pg_promote(false)')
    await promoted(standby)
    expect(await missingRows(standby, workload.acknowledged)).toEqual([])
  })
})
