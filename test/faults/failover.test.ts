import { afterEach, describe, expect, test } from 'vitest'
import { parseHistoryKey, parseSegmentKey } from '../../src/box/key-names.js'
import { postgresVersions, type PostgresVersion } from '../sandbox/postgres.js'
import { caughtUp, cutOff, follow, promote, startStandby } from '../sandbox/standby.js'
import { Restores } from '../sandbox/restored.js'
import { until } from '../sandbox/until.js'
import { disagreements, storedManifests } from './agreement.js'
import { hold } from './hold.js'
import { checkBecomes, recordAllWal } from './observe.js'
import { showLogOfFailures } from './show-log.js'
import { StandbyPair } from './standby-pair.js'

let pair: StandbyPair
let restores: Restores

afterEach(async () => {
  await restores.remove()
  await pair.remove()
})
showLogOfFailures(() => pair.server)

async function start(version: PostgresVersion): Promise<void> {
  pair = await StandbyPair.start({ version })
  restores = new Restores(pair.server.s3, 'backups', version)
  await pair.primary.query('create table marked (label text)')
}

/** Commits a row on the server that holds the catalog, and gives the time after that. */
async function mark(label: string): Promise<string> {
  const { postgres } = pair.server
  await postgres.query('insert into marked values ($1)', [label])
  const [row] = await postgres.query<{ at: string }>('select clock_timestamp()::text as at')
  // So that recovery sees a commit after that time.
  await postgres.query('select pg_current_xact_id()')
  await postgres.query(`create table if not exists "after ${label}" ()`)
  return row!.at
}

async function restored(...args: string[]): Promise<string> {
  const server = await restores.recover(args)
  const [row] = await server.query<{ all: string }>(
    'select string_agg(label, \' \' order by label collate "C") as all from marked',
  )
  await server.stop()
  return row!.all
}

const canRestoreTo = async (at: string) =>
  (await pair.server.postgres.query<{ can: boolean }>('select backup.can_restore_to($1) as can', [at]))[0]!.can

/** Objects that were stored over: more than one version that differ. */
function overwritten(): string[] {
  const { bucket } = pair.server
  return bucket
    .keys()
    .filter((key) => new Set(bucket.versions(key).map(({ bytes }) => bytes!.toString('hex'))).size > 1)
}

/** The history of a timeline was stored before its first segment or tail. */
function historyCameFirst(timeline: string): boolean {
  const paths = pair.server.s3.requests.filter(({ status }) => status === 201).map(({ key }) => key!)
  const history = paths.findIndex((key) => parseHistoryKey(key) && key.includes(`/wal/${timeline}.history-`))
  const wal = paths.findIndex((key) => key.includes(`/wal/${timeline}/`) || key.includes(`/tail/${timeline}/`))
  return history >= 0 && history < wal
}

describe('a failover', () => {
  test.each(postgresVersions)(
    'of Postgres %i to the standby that WAL is read from is followed by the same worker',
    async (version) => {
      await start(version)
      await pair.workFromStandby({ POSTBOX_DATABASE_URL: pair.urls(pair.primary, pair.standby) })
      const before = await mark('a')
      await pair.server.backUp()
      const between = await mark('b')
      await caughtUp(pair.standby, pair.primary)
      await pair.failOver()
      const after = await mark('c')
      await pair.server.worker.says('"timeline":2,"from"')
      await recordAllWal(pair.server)
      await mark('d')
      await recordAllWal(pair.server)

      expect(await disagreements(pair.server)).toEqual([])
      expect(historyCameFirst('00000002')).toBe(true)
      expect(overwritten()).toEqual([])
      expect([await canRestoreTo(before), await canRestoreTo(between), await canRestoreTo(after)]).toEqual([
        false,
        true,
        true,
      ])
      for (const name of ['worker', 'slot', 'wal_delay', 'wal_gap']) await checkBecomes(pair.server, name, 'ok')
      expect(await restored()).toBe('a b c d')
      expect(await restored('--target', `time=${between}`)).toBe('a b')
      expect(await restored('--target', `time=${after}`)).toBe('a b c')
    },
  )

  test.each([18, 15] as const)(
    'of Postgres %i to a standby that lagged keeps both ways open: what it lacked is on the old timeline',
    async (version) => {
      await start(version)
      const env = { POSTBOX_DATABASE_URL: pair.urls(pair.primary, pair.standby) }
      pair.server.startWorker(env)
      await mark('a')
      await pair.server.backUp()
      await mark('b')
      await recordAllWal(pair.server)
      await caughtUp(pair.standby, pair.primary)
      await cutOff(pair.standby)
      // Never reaches the standby, neither as rows nor as what the catalog says of them.
      const lost = await mark('lost')
      await recordAllWal(pair.server)
      await pair.server.backUp('lost with the old primary')
      await mark('lost too')
      await recordAllWal(pair.server)
      // Nobody but the worker wrote in these, so that it holds their rows back.
      for (let n = 0; n < 2; n++) {
        await pair.primary.query('select pg_switch_wal()')
        await pair.server.storeAllWal()
      }
      // Once the same worker goes on, once another one begins.
      if (version === 15) await pair.server.worker.kill9()
      await pair.failOver()
      if (version === 15) pair.server.startWorker(env)
      await pair.server.worker.says('"timeline":2,"from"')
      await mark('c')
      await recordAllWal(pair.server)

      const { bucket } = pair.server
      const rows = await pair.server.postgres.query<{ key: string }>(
        `select key from backup.objects where kind = 'segment'`,
      )
      const unknown = bucket.keys().filter((key) => parseSegmentKey(key) && !rows.some((row) => row.key === key))
      expect(unknown.length).toBeGreaterThan(1)
      expect(unknown.filter((key) => !key.includes('/wal/00000001/'))).toEqual([])
      expect(overwritten()).toEqual([])
      expect(await pair.server.postgres.query('select * from backup.wal_gaps')).toEqual([])

      expect(await restored()).toBe('a b c')
      expect(await restored('--target-timeline', '1')).toBe('a b lost lost too')
      expect(await restored('--target-timeline', '1', '--target', `time=${lost}`)).toBe('a b lost')
      // A backup of the new timeline, and WAL after it.
      await pair.server.backUp()
      await mark('d')
      await recordAllWal(pair.server)
      expect(await restored()).toBe('a b c d')
    },
  )
})

test('a standby that follows a failover is read on, from one timeline into the next', async () => {
  await start(18)
  const third = await startStandby(pair.primary)
  try {
    const env = { POSTBOX_DATABASE_URL: pair.urls(pair.primary, pair.standby), POSTBOX_SOURCE_URL: pair.urls(third) }
    await pair.workFromStandby(env)
    pair.server.source = third
    await pair.server.backUp()
    await mark('a')
    for (const one of [pair.standby, third]) await caughtUp(one, pair.primary)
    const begun = () => pair.server.worker.log.split('"streaming WAL"').length
    const sessions = begun()
    await pair.failOver()
    pair.server.source = third
    // It still is where the old primary left it.
    await until('the worker reads from the third server again', () => begun() > sessions)
    expect(pair.server.worker.log).not.toContain('"timeline":2')
    await follow(third, pair.standby)
    await third.query('select pg_reload_conf()')
    await mark('b')
    await recordAllWal(pair.server)
    expect(pair.server.worker.log).toContain('"timeline":2,"from"')
    expect(historyCameFirst('00000002')).toBe(true)
    expect(await disagreements(pair.server)).toEqual([])
    await checkBecomes(pair.server, 'wal_delay', 'ok')
    expect(await restored()).toBe('a b')
  } finally {
    await third.remove()
  }
})

describe('a standby that is promoted', () => {
  test('while it is backed up fails the backup, which is tried again', async () => {
    await start(18)
    // The next source is the primary itself, which lives on.
    await pair.workFromStandby({ POSTBOX_SOURCE_URL: pair.urls(pair.standby, pair.primary) })
    await mark('a')
    // So that little of it is on its way when the first part is held.
    await pair.primary.query("select backup.configure('part_bytes', '1MB')")
    await pair.primary.query("select backup.configure('upload_connections', '1')")
    const held = hold(pair.server.s3, 'before-store', { key: /\/base\/[^/]+\/base\// })
    const jobId = await pair.server.startBase()
    await held.reached()
    await promote(pair.standby)
    held.release()
    pair.server.source = pair.primary
    expect(await pair.server.ended(jobId)).toMatchObject({ state: 'done', attempts: 2 })
    expect(pair.server.worker.log).toMatch(/BASE_BACKUP failed: the standby was promoted during online backup/)
    expect(await disagreements(pair.server)).toEqual([])
    expect(storedManifests(pair.server)).toHaveLength(1)
    // What it writes as a primary of its own is none of this server's WAL.
    expect(pair.server.bucket.keys().filter((key) => key.includes('/00000002'))).toEqual([])
    expect(await restored()).toBe('a')
  })

  test('while the primary lives on is not read from, and that is critical', async () => {
    await start(18)
    await pair.workFromStandby()
    await pair.server.backUp()
    await promote(pair.standby)
    await pair.standby.query('create table gone_astray ()')
    const { message } = await checkBecomes(pair.server, 'worker', 'crit')
    expect(message).toBe(
      'the source is on timeline 2 and the server that holds the catalog on 1: one of them was promoted, and the other does not follow it',
    )
    await checkBecomes(pair.server, 'slot', 'crit')
    expect(pair.server.bucket.keys().filter((key) => key.includes('/00000002'))).toEqual([])

    // Who names both of them means the one that was promoted.
    await pair.server.worker.stop()
    pair.server.startWorker({ POSTBOX_DATABASE_URL: pair.urls(pair.primary, pair.standby) })
    await pair.server.worker.says('"timeline":2,"from"')
    const [taken, other] = [pair.standby, pair.primary].map(({ port }) => `127.0.0.1:${port}`)
    expect(pair.server.worker.log).toContain(`two servers are primaries, ${taken!} and ${other!}: taking ${taken!}`)
  })

  test('in place of a primary that dies during a backup is backed up by the same job', async () => {
    await start(18)
    await pair.workFromStandby({ POSTBOX_DATABASE_URL: pair.urls(pair.primary, pair.standby) })
    await mark('a')
    const held = hold(pair.server.s3, 'before-store', { key: /\/base\/[^/]+\/base\// })
    const jobId = await pair.server.startBase()
    await held.reached()
    await until('the standby knows that the job runs', async () => {
      const [job] = await pair.standby.query<{ phase: string | null }>('select phase from backup.jobs')
      return job?.phase === 'copying'
    })
    await pair.failOver()
    held.release()
    expect(await pair.server.ended(jobId)).toMatchObject({ state: 'done', attempts: 2 })
    await mark('b')
    await recordAllWal(pair.server)
    expect(await disagreements(pair.server)).toEqual([])
    expect(await restored()).toBe('a b')
  })
})
