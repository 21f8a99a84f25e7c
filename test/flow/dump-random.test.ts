import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { escapeIdentifier } from 'pg'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { databaseText, firstDifference } from '../sandbox/client/database-text.js'
import { clientPrograms } from '../sandbox/client/programs.js'
import { postboxOk } from '../sandbox/command.js'
import { makeTable, randomTables } from '../sandbox/regression/random-tables.js'

const bin = await clientPrograms()
const RUNS = 4

describe.skipIf(bin === null)('a dump of tables that may be anything', () => {
  let backedUp: BackedUpServer

  beforeAll(async () => {
    backedUp = await BackedUpServer.start({ workerEnv: { PATH: bin! } })
    await backedUp.postgres.query('grant pg_read_all_data to postbox_worker')
  })
  afterAll(async () => {
    await backedUp.remove()
  })

  test('comes back as they were', { timeout: 240_000 }, async () => {
    const { postgres } = backedUp
    const property = fc.asyncProperty(
      randomTables,
      fc.integer({ min: 1, max: 6 }),
      async ({ schema, tables }, jobs) => {
        const client = await postgres.connect()
        try {
          await client.query('begin')
          await client.query(`create schema if not exists ${escapeIdentifier(schema)}`)
          for (const table of tables) await makeTable(client, schema, table)
          await client.query('commit')
          const { rows } = await client.query<{ id: string }>('select backup.start_dump() id')
          expect(await backedUp.ended(BigInt(rows[0]!.id))).toMatchObject({ state: 'done' })
          const url = postgres.url({ database: 'copy' })
          const args = ['--server', 'db1', '--database-url', url, '--create', '--jobs', String(jobs)]
          await postboxOk(['restore-dump', ...args], backedUp.keyholderEnv)
          const [one, other] = await Promise.all(['postgres', 'copy'].map((name) => databaseText(bin!, postgres, name)))
          expect(firstDifference(one!, other!)).toBeNull()
        } finally {
          await client.query('rollback')
          await client.query('drop database if exists copy with (force)')
          await client.query(
            `drop schema if exists ${escapeIdentifier(schema)} cascade; create schema if not exists public`,
          )
          await client.end()
        }
      },
    )
    await fc.assert(property, { numRuns: RUNS, endOnFailure: true })
  })
})
