import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { BackedUpServer } from '../sandbox/backed-up-server.js'
import { clientPrograms } from '../sandbox/client/programs.js'
import { postboxOk } from '../sandbox/command.js'
import type { Fault } from '../sandbox/s3/faults.js'
import { disagreements } from './agreement.js'
import { storedDumps } from './dump-agreement.js'
import { dumpEnv, KEPT_ROWS, startDump, startDumpedServer } from './dumped-server.js'
import { hold, type Held } from './hold.js'
import { showLogOfFailures } from './show-log.js'

const bin = await clientPrograms()
const PART = /\/dump\/[^/]+\/data\/public\.kept\//
const MANIFEST = /\/dump\/[^/]+\/manifest-/

let backedUp: BackedUpServer

beforeAll(async () => {
  if (bin !== null) backedUp = await startDumpedServer(bin)
})

afterAll(async () => {
  await backedUp?.remove()
})

showLogOfFailures(() => backedUp)

async function killAt(held: Held): Promise<void> {
  await held.reached()
  await backedUp.worker.kill9()
  held.release()
  backedUp.startWorker(dumpEnv(bin!))
}

async function done(jobId: bigint, attempts: number): Promise<void> {
  const job = await backedUp.ended(jobId)
  expect(job, backedUp.worker.log).toMatchObject({ state: 'done', attempts, error_code: null })
}

/** Catalog, bucket and restore agree on what dumps there are. */
async function agreed(dumps: number): Promise<void> {
  expect(storedDumps(backedUp)).toHaveLength(dumps)
  expect(await disagreements(backedUp)).toEqual([])
}

describe.skipIf(bin === null)('a dump', () => {
  test.each([
    ['before its first part is stored', 'before-store', PART],
    ['when a part is stored and its row is not written', 'after-store', PART],
    ['after its last part and before its manifest is stored', 'before-store', MANIFEST],
  ] as const)('whose worker is killed %s begins anew and is done', async (_, when, key) => {
    const before = storedDumps(backedUp).length
    const held = hold(backedUp.s3, when, { key })
    const jobId = await startDump(backedUp)
    await killAt(held)
    await done(jobId, 2)
    await agreed(before + 1)
  })

  test('whose worker is killed after its manifest is stored is whole without a row, and another one has one', async () => {
    const before = storedDumps(backedUp).length
    const held = hold(backedUp.s3, 'after-store', { key: MANIFEST })
    const jobId = await startDump(backedUp)
    await killAt(held)
    await done(jobId, 2)
    await agreed(before + 2)
    const [unknown, known] = storedDumps(backedUp).slice(-2)
    const ids = await backedUp.postgres.query<{ dump_id: string }>('select dump_id from backup.dumps')
    expect(ids.map(({ dump_id }) => dump_id)).toContain(known!.dump_id)
    expect(ids.map(({ dump_id }) => dump_id)).not.toContain(unknown!.dump_id)
    expect(await restoredRows(unknown!.dump_id)).toBe(String(KEPT_ROWS))
  })

  test.each([
    ['lose one of their connections', endOne],
    [
      'see the server killed',
      async () => {
        await backedUp.postgres.kill9()
        await backedUp.postgres.start()
      },
    ],
  ])('begins anew when its sessions %s', async (_, end) => {
    const before = storedDumps(backedUp).length
    const held = hold(backedUp.s3, 'before-store', { key: /\/dump\// })
    const jobId = await startDump(backedUp)
    await held.reached()
    await end()
    held.release()
    await done(jobId, 2)
    await agreed(before + 1)
  })

  test.each<[string, Fault]>([
    ['answers 500', { kind: 'status', status: 500 }],
    ['cuts the connection in the middle of the body', { kind: 'cut-body', afterBytes: 5000 }],
    ['stores and loses the answer', { kind: 'cut', when: 'after-store' }],
  ])('is done in its first attempt though the box %s', async (_, fault) => {
    const before = storedDumps(backedUp).length
    const undo = [PART, MANIFEST].map((key) => backedUp.s3.fail({ key, times: 2, fault }))
    await done(await startDump(backedUp), 1)
    for (const one of undo) one()
    await agreed(before + 1)
  })
})

async function endOne(): Promise<void> {
  await backedUp.postgres.query(
    `select pg_terminate_backend(pid) from pg_stat_activity where query ilike 'copy %' and application_name ~ '^postbox dump' limit 1`,
  )
}

async function restoredRows(dumpId: string): Promise<string> {
  const { postgres, keyholderEnv } = backedUp
  await postgres.query('create database restored template template0')
  const url = postgres.url({ database: 'restored' })
  await postboxOk(['restore-dump', '--server', 'db1', '--dump', dumpId, '--database-url', url], keyholderEnv)
  const [row] = await postgres.query<{ n: string }>('select count(*) n from kept', [], { database: 'restored' })
  return row!.n
}
