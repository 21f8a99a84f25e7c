import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TargetSession } from '../../src/keyholder/dumps/target-session.js'
import { Secret } from '../../src/secret.js'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { clientPrograms } from '../sandbox/client/programs.js'
import { until } from '../sandbox/until.js'

const bin = await clientPrograms()

describe.skipIf(bin === null)('where Postgres itself says no', () => {
  let backedUp: BackedUpServer

  beforeAll(async () => {
    backedUp = await BackedUpServer.start({ workerEnv: { PATH: bin! }, settings: { deadlock_timeout: '10ms' } })
    await backedUp.postgres.query('grant pg_read_all_data to postbox_worker')
  })
  afterAll(async () => {
    await backedUp.remove()
  })

  // As text a bit string is eight times as long: little memory is enough.
  test('to print a value, the dump names the table, and commits nothing', async () => {
    await backedUp.postgres.query(`create table "too ""much" as
      with ten as (select 0::bit(83886080)::varbit as v), forty as (select v || v || v || v as v from ten)
      select v || v || v || v as v from forty`)
    const [row] = await backedUp.postgres.query<{ id: string }>('select backup.start_dump() id')
    expect(await backedUp.ended(BigInt(row!.id))).toMatchObject({
      state: 'failed',
      error_code: 'dump_refused',
      error_message: expect.stringMatching(/^table public\."too ""much" could not be dumped: .*1342177281/) as string,
      error_hint: expect.stringContaining('longer than Postgres can print') as string,
      attempts: 1,
    })
    expect(backedUp.bucket.keys().filter((key) => key.includes('/manifest-'))).toEqual([])
  })

  test.each(['a statement', 'a transaction'])('because of a deadlock, %s of a restore is tried again', async (kind) => {
    const { postgres } = backedUp
    await postgres.query('drop table if exists one, other; create table one (); create table other ()')
    const rival = await postgres.connect()
    const gate = await postgres.connect()
    const session = await TargetSession.open(new Secret(postgres.url()), AbortSignal.timeout(60_000))
    try {
      await gate.query('select pg_advisory_lock(1)')
      await rival.query("set deadlock_timeout = '1h'; begin; lock table other")
      const sql = 'do $$ begin lock table public.one; perform pg_advisory_xact_lock(1); lock table public.other; end $$'
      const work = () => session.run(sql, 'the tables')
      const done = kind === 'a statement' ? work() : session.transaction(work)
      done.catch(() => undefined)
      const waiting = (count: number) =>
        until(`${count} wait`, async () => {
          const rows = await postgres.query('select from pg_locks where not granted')
          return rows.length >= count
        })
      await waiting(1)
      const rivals = rival.query('lock table one; commit')
      await waiting(2)
      await gate.query('select pg_advisory_unlock(1)')
      await rivals
      await done
      expect(await postgres.log()).toContain('deadlock detected')
    } finally {
      await session.end()
      await Promise.all([rival.end(), gate.end()])
    }
  })
})
