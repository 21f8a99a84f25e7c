import { describe, expect, test } from 'vitest'
import { parseSegmentKey } from '../../src/box/key-names.js'
import { BackedUpServer, type BackedUpOptions } from '../sandbox/backed-up-server.js'
import { until } from '../sandbox/until.js'
import { disagreements } from './agreement.js'
import { checkOf } from './observe.js'
import { StandbyPair } from './standby-pair.js'

/** Runs with a server of its own; the end of its worker's log is printed where that fails. */
async function withServer(options: BackedUpOptions, run: (backedUp: BackedUpServer) => Promise<void>): Promise<void> {
  const backedUp = await BackedUpServer.start(options)
  await run(backedUp)
    .catch(showLog(backedUp))
    .finally(() => backedUp.remove())
}

async function withStandby(settings: Record<string, string>, run: (pair: StandbyPair) => Promise<void>): Promise<void> {
  const pair = await StandbyPair.start({ settings })
  await run(pair)
    .catch(showLog(pair.server))
    .finally(() => pair.remove())
}

const showLog = (backedUp: BackedUpServer) => (error: unknown) => {
  console.error(backedUp.worker.log.split('\n').slice(-40).join('\n'))
  throw error
}

/** Waits until so many seconds have passed on the server's clock. */
async function passed({ postgres }: BackedUpServer, seconds: number): Promise<void> {
  const [row] = await postgres.query<{ at: Date }>('select clock_timestamp() at')
  const over = async () => {
    const sql = 'select clock_timestamp() >= $1::timestamptz + make_interval(secs => $2) as over'
    const [time] = await postgres.query<{ over: boolean }>(sql, [row!.at, seconds])
    return time!.over
  }
  await until(`${seconds} s have passed`, over, seconds * 1000 + 30_000)
}

interface Rest {
  /** the server's clock */
  at: Date
  /** the next transaction's id: nobody has written while it stands still */
  xid: string
  /** where the next byte of WAL will stand */
  lsn: string
  segments: number
  requests: number
}

async function now({ postgres, bucket, s3 }: BackedUpServer): Promise<Rest> {
  const [row] = await postgres.query<Pick<Rest, 'at' | 'xid' | 'lsn'>>(
    `select clock_timestamp() at, pg_snapshot_xmax(pg_current_snapshot())::text xid,
            pg_current_wal_insert_lsn()::text lsn`,
  )
  const segments = bucket.keys().filter((key) => parseSegmentKey(key)).length
  return { ...row!, segments, requests: s3.requests.length }
}

/** Waits until nothing of this has changed for so many seconds of the server's clock. */
async function settled(backedUp: BackedUpServer, seconds: number, what: readonly (keyof Rest)[]): Promise<Rest> {
  let rest = await now(backedUp)
  return until(
    `the server is at rest for ${seconds} s`,
    async () => {
      const later = await now(backedUp)
      if (what.some((one) => later[one] !== rest[one])) rest = later
      return later.at.getTime() - rest.at.getTime() >= seconds * 1000 ? rest : null
    },
    seconds * 1000 + 100_000,
  )
}

describe.concurrent('a server that nobody writes to', () => {
  test('gets no request and no WAL for a minute', () =>
    withServer({}, async (backedUp) => {
      const { postgres } = backedUp
      await backedUp.backUp()
      await postgres.query('create table t as select generate_series(1, 1000) n')
      // What autovacuum would find to do is done; the second run is for what the first left in pg_statistic.
      for (const database of ['postgres', 'template1']) {
        await postgres.query('vacuum analyze', [], { database })
        await postgres.query('vacuum', [], { database })
      }
      // Once Postgres has noted which transactions run. All the while the worker asks whether a COMMIT waits for it, and
      // tells the server that it lives.
      await settled(backedUp, 60, ['lsn', 'xid', 'requests'])
      const [row] = await postgres.query(
        `select s.bytes_at_risk = 0 and s.seconds_at_risk = 0 as safe, s.durable_lsn = pg_current_wal_lsn() as all,
                s.worker_alive as alive, clock_timestamp() - r.reply_time < interval '30 s' as told
         from backup.status s, pg_stat_replication r`,
      )
      expect(row).toEqual({ safe: true, all: true, alive: true, told: true })
      for (const name of ['wal_delay', 'slot', 'worker', 'box'])
        expect(await checkOf(backedUp, name)).toMatchObject({ state: 'ok' })
    }))

  test('comes to rest, archive_timeout, timed checkpoints and all', () => {
    const settings = { archive_timeout: '1s', checkpoint_timeout: '30s' }
    return withServer({ initdb: ['--wal-segsize=1'], settings }, async (backedUp) => {
      await backedUp.backUp()
      const first = await settled(backedUp, 4, ['xid', 'requests'])
      // Its record is soon a segment, in which no transaction wrote. A row for it would call for the next checkpoint.
      await backedUp.postgres.query('checkpoint')
      const second = await settled(backedUp, 4, ['xid', 'requests'])
      expect(second.segments).toBeGreaterThan(first.segments)
      expect(second.xid).toBe(first.xid)
      await passed(backedUp, 32)
      const last = await now(backedUp)
      expect(last).toMatchObject({ xid: second.xid, segments: second.segments })
      // Once more Postgres itself notes which transactions run: nothing that ends a segment, but a tail.
      expect(last.requests - second.requests).toBeLessThanOrEqual(1)
      expect(await checkOf(backedUp, 'wal_delay')).toMatchObject({ state: 'ok' })
      expect(await checkOf(backedUp, 'slot')).toMatchObject({ state: 'ok' })
      expect(await disagreements(backedUp)).toEqual([])
    })
  })

  test('comes to rest when its WAL is read from a standby, though it is told how far that is stored', () =>
    withStandby({ archive_timeout: '1s' }, async (pair) => {
      const backedUp = pair.server
      await pair.workFromStandby()
      await backedUp.backUp()
      await settled(backedUp, 4, ['xid', 'requests'])
      for (const name of ['wal_delay', 'slot']) expect(await checkOf(backedUp, name)).toMatchObject({ state: 'ok' })
      // Postgres's own records still end a segment now and then; each is stored too.
      await until('nothing is at risk', async () => {
        const [row] = await backedUp.postgres.query<{ bytes_at_risk: string }>(
          'select bytes_at_risk from backup.status',
        )
        return row!.bytes_at_risk === '0'
      })
      expect(await disagreements(backedUp)).toEqual([])
    }))
})
