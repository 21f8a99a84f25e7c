import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { running } from './processes.js'
import {
  postgresVersions,
  removeScratch,
  sandboxUser,
  scratchDir,
  startFromDataDir,
  startPostgres,
} from './postgres.js'
import { run } from './run.js'

afterAll(() => removeScratch())

describe.each(postgresVersions)('Postgres %i', (version) => {
  it('starts, answers, stops, starts again and leaves nothing behind', async () => {
    const postgres = await startPostgres({ version })
    const [row] = await postgres.query<{ num: number; checksums: string; level: string; segment: string }>(
      `select current_setting('server_version_num')::int as num, current_setting('data_checksums') as checksums,
              current_setting('wal_level') as level, current_setting('wal_segment_size') as segment`,
    )
    expect(Math.floor(row!.num / 10_000)).toBe(version)
    expect(row).toMatchObject({ checksums: 'on', level: 'replica', segment: '16MB' })
    await postgres.query('create table kept as select 7 as n')
    const pid = postgres.pid!
    await postgres.stop()
    expect(await running(pid)).toBe(false)
    await postgres.start()
    expect(await postgres.query('select n from kept')).toEqual([{ n: 7 }])
    await postgres.remove()
    await expect(readFile(join(postgres.dataDir, 'PG_VERSION'))).rejects.toThrow('ENOENT')
  })
})

describe('the sandbox', () => {
  it('gives every server a system identifier of its own, and its settings', async () => {
    const settings = { work_mem: '5MB', cluster_name: "o'clock" }
    const servers = await Promise.all([startPostgres({ settings }), startPostgres({ initdb: ['--wal-segsize=1'] })])
    const identifiers = await Promise.all(
      servers.map((one) => one.query<{ id: string }>('select system_identifier::text as id from pg_control_system()')),
    )
    expect(identifiers[0]![0]!.id).not.toBe(identifiers[1]![0]!.id)
    expect(BigInt(identifiers[0]![0]!.id)).toBeGreaterThan(0n)
    const [first] = await servers[0].query(
      `select current_setting('work_mem') as w, current_setting('cluster_name') as c`,
    )
    expect(first).toEqual({ w: '5MB', c: "o'clock" })
    expect(await servers[1].query('show wal_segment_size')).toEqual([{ wal_segment_size: '1MB' }])
    await Promise.all(servers.map((one) => one.remove()))
  })

  it('recovers a server that was killed with all its processes', async () => {
    const postgres = await startPostgres()
    await postgres.query('create table kept as select 7 as n')
    const pid = postgres.pid!
    await postgres.kill9()
    expect(await running(pid)).toBe(false)
    await postgres.start()
    expect(await postgres.query('select n from kept')).toEqual([{ n: 7 }])
    expect(await postgres.log()).toContain('database system was not properly shut down')
    await postgres.remove()
  })

  it('asks for a password where pg_hba.conf says so', async () => {
    const postgres = await startPostgres({ hba: 'host all all 127.0.0.1/32 scram-sha-256' })
    await postgres.query(`create role keyless login password 'it is secret'`)
    const { Client } = (await import('pg')).default
    const right = new Client({ connectionString: postgres.url({ user: 'keyless', password: 'it is secret' }) })
    await right.connect()
    await right.end()
    const wrong = new Client({ connectionString: postgres.url({ user: 'keyless', password: 'guess' }) })
    await expect(wrong.connect()).rejects.toThrow('password authentication failed')
    await postgres.remove()
  })

  it('starts a copy of a data directory beside the original, and shows the log when it does not start', async () => {
    const original = await startPostgres({ version: 17 })
    await original.query('create table kept as select 7 as n')
    await original.stop()
    const dataDir = join(await scratchDir('copy'), 'it is a copy')
    await run('cp', ['-a', original.dataDir, dataDir])
    await original.start()
    const copy = await startFromDataDir({ version: 17, dataDir, settings: { work_mem: '6MB' } })
    expect(await copy.query('select n from kept')).toEqual([{ n: 7 }])
    expect(await copy.query('show work_mem')).toEqual([{ work_mem: '6MB' }])
    await copy.stop()
    await writeFile(join(dataDir, 'PG_VERSION'), '9\n')
    await expect(startFromDataDir({ version: 17, dataDir })).rejects.toThrow(/data directory was initialized by/)
    await original.remove()
  })

  it('never runs Postgres as root', () => {
    const user = sandboxUser()
    expect(user === null ? process.getuid!() : user.uid).toBeGreaterThan(0)
  })
})
