import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { until } from '../sandbox/until.js'
import { disagreements } from './agreement.js'
import { hold, type Held } from './hold.js'
import { showLogOfFailures } from './show-log.js'

/** WAL that does not get into the box, and what the server says of it. Moments are the server's, as text. */
let backedUp: BackedUpServer
let held: Held

beforeAll(async () => {
  backedUp = await BackedUpServer.start({ initdb: ['--wal-segsize=1'] })
  await backedUp.postgres.query('create table t (n int)')
  await backedUp.postgres.query("select backup.configure('wal_interval', '50 ms')")
})

afterAll(async () => {
  await backedUp.remove()
})

showLogOfFailures(() => backedUp)

const one = async <T>(text: string, params: unknown[] = []): Promise<T> => {
  const [row] = await backedUp.postgres.query<Record<string, T>>(text, params)
  return Object.values(row!)[0]!
}
const clock = () => one<string>('select clock_timestamp()::text')
const atRiskSince = () => one<string | null>('select since::text from backup._at_risk()')

interface Commit {
  /** before which nothing waited */
  before: string
  /** when the worker had its WAL */
  seen: string
}
let commit: Commit

async function nothingAtRisk(): Promise<void> {
  await until('all is stored', () =>
    one<boolean>('select bytes_at_risk = 0 and seconds_at_risk = 0 and worker_alive from backup.status'),
  )
}

/** Whether what is said to be at risk is as old as the commit, and as much as is not stored: in one moment. */
const exact = ({ before, seen }: Commit) =>
  backedUp.postgres.query(
    `select s.seconds_at_risk <= extract(epoch from clock_timestamp() - $1::timestamptz) + 0.001 as no_older,
            s.seconds_at_risk >= extract(epoch from now() - $2::timestamptz) as no_younger,
            s.bytes_at_risk = pg_current_wal_lsn() - s.durable_lsn as bytes
     from backup.status s`,
    [before, seen],
  )
const EXACT = [{ no_older: true, no_younger: true, bytes: true }]

beforeEach(async () => {
  await nothingAtRisk()
  held = hold(backedUp.s3, 'before-store', { key: /\/(tail|wal)\// })
  const before = await clock()
  await backedUp.postgres.query('insert into t values (1)')
  await held.reached()
  await until('the server was told', async () => ((await atRiskSince()) ?? '') > before)
  commit = { before, seen: await clock() }
  expect(await exact(commit)).toEqual(EXACT)
})

afterEach(async () => {
  held.release()
  await nothingAtRisk()
  expect(await disagreements(backedUp)).toEqual([])
})

/** Waits until it is said of nothing but this commit. */
const saidAgain = (what: string) =>
  until(`${what}, and the age is the same`, async () => {
    const [row] = await exact(commit)
    return row!['no_older'] === true && row!['no_younger'] === true
  })

test('WAL that waits for the box ages with the clock, whatever else is written', async () => {
  const since = await atRiskSince()
  for (let n = 0; n < 5; n++) {
    await backedUp.postgres.query('insert into t values (2)')
    expect(await exact(commit)).toEqual(EXACT)
    expect(await atRiskSince()).toBe(since)
  }
})

test('WAL that waits gets no younger when its walsender is ended, nor by the next one', async () => {
  const since = await atRiskSince()
  const pid = await one<number>(`select pid from pg_stat_replication where application_name = 'postbox'`)
  await backedUp.postgres.query('select pg_terminate_backend($1)', [pid])
  await until('another streams', () =>
    one<boolean>(
      `select count(*) filter (where reply_time is not null and pid <> $1) > 0 from pg_stat_replication
       where application_name = 'postbox'`,
      [pid],
    ),
  )
  expect(await exact(commit)).toEqual(EXACT)
  expect(await atRiskSince()).toBe(since)
})

test('WAL that waits gets no younger when the server is restarted', async () => {
  await backedUp.postgres.stop('immediate')
  await backedUp.postgres.start()
  await backedUp.worker.says('the worker begins again')
  await until('the worker streams again', () =>
    one<boolean>(
      `select count(*) > 0 from pg_stat_replication where application_name = 'postbox' and reply_time is not null`,
    ),
  )
  expect(await exact(commit)).toEqual(EXACT)
})

test('WAL that waited for long under a worker that was killed is as old under the next', async () => {
  await until('it is written down', () =>
    one<boolean>('select coalesce(w.at_risk_since = r.since, false) from backup._worker w, backup._at_risk() r'),
  )
  await backedUp.worker.kill9()
  expect(await exact(commit)).toEqual(EXACT)
  const worker = backedUp.startWorker()
  await worker.says('streaming WAL')
  await saidAgain('the worker streams')
})

test('WAL that waits ages under a worker that hangs', async () => {
  process.kill(backedUp.worker.pid, 'SIGSTOP')
  try {
    await backedUp.postgres.query('insert into t values (2)')
    await backedUp.postgres.query("select backup.configure('wal_max_delay', '1s')")
    expect(await exact(commit)).toEqual(EXACT)
    await until('the check is critical', async () => {
      const state = await one<string>(`select state from backup.checks where name = 'wal_delay'`)
      return state === 'crit'
    })
  } finally {
    process.kill(backedUp.worker.pid, 'SIGCONT')
    await backedUp.postgres.query("select backup.configure('wal_max_delay', null)")
  }
})
