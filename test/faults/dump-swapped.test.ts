import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { BackedUpServer } from '../sandbox/backed-up-server.js'
import { clientPrograms } from '../sandbox/client/programs.js'
import { until } from '../sandbox/until.js'
import { storedDumps } from './dump-agreement.js'
import { KEPT_ROWS, startDump, startDumpedServer } from './dumped-server.js'
import { showLogOfFailures } from './show-log.js'

const bin = await clientPrograms()
let backedUp: BackedUpServer

beforeAll(async () => {
  if (bin !== null) backedUp = await startDumpedServer(bin)
})
afterAll(async () => {
  await backedUp?.remove()
})

showLogOfFailures(() => backedUp)

describe.skipIf(bin === null)('a dump', () => {
  const rowsOf = (table: string) => {
    const tables = storedDumps(backedUp).flatMap((manifest) => manifest.tables)
    return tables.filter(({ schema, name }) => `${schema}.${name}` === table).map(({ rows }) => rows)
  }

  test('that waited for a table while another one took its name begins anew, and has the rows of that one', async () => {
    const { postgres } = backedUp
    const client = await postgres.connect()
    try {
      await client.query('begin; alter table kept rename to kept_old; create table kept as select * from kept_old')
      const jobId = await startDump(backedUp)
      await until('the dump waits for its lock', async () => {
        const waiting = `select from pg_locks where not granted and mode = 'AccessShareLock' and relation = 'kept'::regclass`
        return (await postgres.query(waiting)).length > 0
      })
      await client.query('commit')
      expect(await backedUp.ended(jobId)).toMatchObject({ state: 'done', attempts: 2 })
    } finally {
      await client.end()
    }
    expect(rowsOf('public.kept')).toEqual([KEPT_ROWS])
    expect(rowsOf('public.kept_old')).toEqual([KEPT_ROWS])
    await postgres.query('drop table kept_old')
  })

  test.each([1, 3])('over %i connections whose schema became another while it copied begins anew', async (jobs) => {
    const { postgres, bucket } = backedUp
    await postgres.query(
      `drop schema if exists app, app_old cascade; create schema app; create table app.t as select 1 as n`,
    )
    const gate = await postgres.connect()
    try {
      await gate.query('select pg_advisory_lock(1)')
      const wait = `"pg_advisory_xact_lock_shared(1)::text is not null"`
      const options = `{"jobs": ${jobs}, "only": "data", "where": {"public.kept": ${wait}}}`
      const before = new Set(bucket.keys())
      const { rows } = await gate.query<{ id: string }>('select backup.start_dump(options => $1) id', [options])
      await until('all connections wait, and pg_dump has ended', async () => {
        const waiting = await postgres.query(`select from pg_locks where not granted and locktype = 'advisory'`)
        const printed = bucket.keys().filter((key) => !before.has(key) && /\/data\/\d+-\w+\.sql\.zst$/.test(key))
        return waiting.length === jobs && printed.length === 1
      })
      // Takes no lock of a table.
      await postgres.query(`alter schema app rename to app_old; create schema app;
        create table app.t as select generate_series(1, 7) as n`)
      await gate.query('select pg_advisory_unlock(1)')
      expect(await backedUp.ended(BigInt(rows[0]!.id))).toMatchObject({ state: 'done', attempts: 2 })
    } finally {
      await gate.end()
    }
    expect(rowsOf('app.t').at(-1)).toBe(7)
    expect(rowsOf('app_old.t').at(-1)).toBe(1)
  })
})
