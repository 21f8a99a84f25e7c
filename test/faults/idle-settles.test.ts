import { afterEach, expect, test } from 'vitest'
import { parseSegmentKey } from '../../src/box/key-names.js'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { until } from '../sandbox/until.js'
import { disagreements } from './agreement.js'
import { checkOf } from './observe.js'
import { showLogOfFailures } from './show-log.js'
import { StandbyPair } from './standby-pair.js'

let backedUp: BackedUpServer
let pair: StandbyPair | null = null

afterEach(async () => {
  await (pair ?? backedUp).remove()
  pair = null
})

showLogOfFailures(() => backedUp)

/** Waits until so many seconds have passed on the server's clock. */
async function passed(seconds: number): Promise<void> {
  const [row] = await backedUp.postgres.query<{ at: Date }>('select clock_timestamp() at')
  const over = async () => {
    const sql = 'select clock_timestamp() >= $1::timestamptz + make_interval(secs => $2) as over'
    const [time] = await backedUp.postgres.query<{ over: boolean }>(sql, [row!.at, seconds])
    return time!.over
  }
  await until(`${seconds} s have passed`, over, seconds * 1000 + 30_000)
}

interface Rest {
  /** the next transaction's id: nobody has written while it stands still */
  xid: string
  segments: number
  requests: number
}

async function now(): Promise<Rest> {
  const [row] = await backedUp.postgres.query<{ xid: string }>(
    'select pg_snapshot_xmax(pg_current_snapshot())::text xid',
  )
  const segments = backedUp.bucket.keys().filter((key) => parseSegmentKey(key)).length
  return { xid: row!.xid, segments, requests: backedUp.s3.requests.length }
}

/** Waits until nothing was written and nothing posted for several times archive_timeout. */
async function settled(): Promise<Rest> {
  for (let tries = 0; tries < 8; tries++) {
    const before = await now()
    await passed(4)
    const after = await now()
    if (after.xid === before.xid && after.requests === before.requests) return after
  }
  throw new Error('the server does not come to rest')
}

test('a server that nobody writes to comes to rest, timed checkpoints and all', async () => {
  const settings = { archive_timeout: '1s', checkpoint_timeout: '30s' }
  backedUp = await BackedUpServer.start({ initdb: ['--wal-segsize=1'], settings })
  await backedUp.backUp()
  const first = await settled()
  // Its record is soon a segment, in which no transaction wrote. A row for it would call for the next checkpoint.
  await backedUp.postgres.query('checkpoint')
  const second = await settled()
  expect(second.segments).toBeGreaterThan(first.segments)
  expect(second.xid).toBe(first.xid)
  await passed(32)
  const last = await now()
  expect(last).toMatchObject({ xid: second.xid, segments: second.segments })
  // Once more Postgres itself notes which transactions run: nothing that ends a segment, but a tail.
  expect(last.requests - second.requests).toBeLessThanOrEqual(1)
  expect(await checkOf(backedUp, 'wal_delay')).toMatchObject({ state: 'ok' })
  expect(await checkOf(backedUp, 'slot')).toMatchObject({ state: 'ok' })
  expect(await disagreements(backedUp)).toEqual([])
})

test('a server whose WAL is read from a standby comes to rest, though it is told how far that is stored', async () => {
  pair = await StandbyPair.start({ settings: { archive_timeout: '1s' } })
  backedUp = pair.server
  await pair.workFromStandby()
  await backedUp.backUp()
  await settled()
  for (const name of ['wal_delay', 'slot']) expect(await checkOf(backedUp, name)).toMatchObject({ state: 'ok' })
  expect(await backedUp.postgres.query('select bytes_at_risk from backup.status')).toEqual([{ bytes_at_risk: '0' }])
  expect(await disagreements(backedUp)).toEqual([])
})
