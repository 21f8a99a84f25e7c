import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TargetSession } from '../../src/keyholder/dumps/target-session.js'
import { Secret } from '../../src/secret.js'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { clientPrograms } from '../sandbox/client/programs.js'
import { keyholderEnv, postboxOk } from '../sandbox/command.js'
import { until } from '../sandbox/until.js'

const bin = await clientPrograms()

describe.skipIf(bin === null)('where Postgres itself says no', () => {
  let backedUp: BackedUpServer

  beforeAll(async () => {
    backedUp = await BackedUpServer.start({
      workerEnv: { PATH: bin! },
      settings: { deadlock_timeout: '10ms', max_locks_per_transaction: '512' },
    })
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

  test.each([
    ['before it copies', 2600, '13h'],
    ['while it copies', 1500, '14h'],
  ])('or its manifest would be too large for the grant, the dump says so %s', async (when, tables, expires) => {
    const { postgres, s3, bucket } = backedUp
    const parts = () => bucket.keys().filter((key) => key.includes('/dump/'))
    await postgres.query(`create schema many; do $$ begin
      for n in 1..${tables} loop execute format('create table many.t_%s as select 1 as n', n); end loop; end $$`)
    const args = ['grant', '--server', 'db1', '--expires', expires, '--max-part-bytes', '1MiB']
    await postgres.query('select backup.install_grant($1)', [await postboxOk(args, keyholderEnv(s3, 'backups'))])
    const before = parts()
    const [row] = await postgres.query<{ id: string }>(`select backup.start_dump(schemas => '{many}') id`)
    expect(await backedUp.ended(BigInt(row!.id))).toMatchObject({
      state: 'failed',
      error_code: 'dump_refused',
      error_message:
        'the manifest of the dump would be larger than the 1048576 bytes that the grant allows for one object',
      error_hint: expect.stringContaining('--max-part-bytes') as string,
      attempts: 1,
    })
    if (when === 'before it copies') expect(parts()).toEqual(before)
    expect(parts().filter((key) => key.includes('/manifest-'))).toEqual([])
    expect(await postgres.query('select from backup.dumps')).toEqual([])
    expect(await postgres.query(`select from pg_stat_activity where application_name like 'postbox dump%'`)).toEqual([])
    await postgres.query('drop schema many cascade')
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
