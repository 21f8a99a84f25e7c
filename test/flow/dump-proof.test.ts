import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseDumpManifest } from '../../src/box/dump-manifest.js'
import { decompress } from '../../src/keyholder/zstd.js'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { databaseText, firstDifference } from '../sandbox/client/database-text.js'
import { clientPrograms } from '../sandbox/client/programs.js'
import { keyholderEnv, postboxOk } from '../sandbox/command.js'
import { postgresVersions, type SandboxPostgres } from '../sandbox/postgres.js'
import { loadRegression } from '../sandbox/regression/load-regression.js'
import { plainEnv, run } from '../sandbox/run.js'

const bin = await clientPrograms()

/** Stays for all: the newest takes what the older ones gave. */
const NEWEST = Math.max(...postgresVersions)

describe.skipIf(bin === null)('a database with a bit of everything', () => {
  let newest: BackedUpServer
  let older: BackedUpServer | undefined

  const serverOf = async (version: (typeof postgresVersions)[number], beside: BackedUpServer | null) => {
    const backedUp = await BackedUpServer.start({
      ...{ version, server: `db${version}`, workerEnv: { PATH: bin! } },
      ...(beside === null ? {} : { beside }),
      settings: { max_locks_per_transaction: '256' },
    })
    // One pg_dump alone, so that what it says of an older server is the same here and there. Only a superuser sees subscriptions and large objects that are nobody's.
    await backedUp.postgres.query('alter role postbox_worker superuser')
    await loadRegression(backedUp.postgres)
    await backedUp.postgres.query("select backup.configure('dump_split_bytes', '1MB')")
    const [row] = await backedUp.postgres.query<{ id: string }>('select backup.start_dump() id')
    const job = await backedUp.ended(BigInt(row!.id))
    expect({ ...job, log: job.state === 'done' ? '' : backedUp.worker.log }).toMatchObject({ state: 'done' })
    return backedUp
  }
  const restored = async (server: string, { port }: SandboxPostgres, database: string) => {
    const url = `postgresql://postgres@127.0.0.1:${port}/${database}`
    const args = ['--server', server, '--database-url', url, '--create', '--jobs', '3', '--json']
    return JSON.parse(await postboxOk(['restore-dump', ...args], keyholderEnv(newest.s3, 'backups'))) as object
  }
  const difference = async (one: [SandboxPostgres, string], other: [SandboxPostgres, string]) => {
    const texts = await Promise.all(
      [one, other].map(async ([postgres, database]) => {
        const text = await databaseText(bin!, postgres, database, ['--exclude-table-data=tables.by_enum_*'])
        // Which partition a row goes to depends on oids of the enum.
        const rows = await postgres.query('select k, n from tables.by_enum order by n', [], { database })
        return [...text, ...rows.map((row) => JSON.stringify(row))]
      }),
    )
    expect(texts[0]!.length).toBeGreaterThan(3000)
    return firstDifference(texts[0]!, texts[1]!)
  }

  beforeAll(async () => {
    newest = await serverOf(NEWEST as 18, null)
  })
  afterAll(async () => {
    await older?.remove()
    await newest.remove()
  })

  test.each(postgresVersions)('comes back on Postgres %i as it was, as pg_dump sees it', async (version) => {
    await older?.remove()
    older = version === NEWEST ? undefined : await serverOf(version, newest)
    const { postgres } = older ?? newest
    expect(await restored(`db${version}`, postgres, 'whole')).toMatchObject({ notes: [] })
    expect(await difference([postgres, 'postgres'], [postgres, 'whole'])).toBeNull()
    if (version !== postgresVersions[0]) return
    await makeReference(postgres, newest.postgres)
    await restored(`db${version}`, newest.postgres, 'moved')
    expect(await difference([newest.postgres, 'reference'], [newest.postgres, 'moved'])).toBeNull()
  })

  test('shows no password when it is masked, says so, and can be restored', async () => {
    const { postgres, bucket } = newest
    await postgres.query("select backup.mask('objects.guarded.secret', 'null')")
    const query = `select backup.start_dump(options => '{"masked": true}') id`
    const [row] = await postgres.query<{ id: string }>(query)
    expect(await newest.ended(BigInt(row!.id))).toMatchObject({ state: 'done' })
    const select = 'select manifest_key as key, dump_id from backup.dumps where job_id = $1'
    const { key, dump_id } = (await postgres.query<{ key: string; dump_id: string }>(select, [row!.id]))[0]!
    const { sections, warnings } = parseDumpManifest(key, bucket.get(key))
    const parts = Object.values(sections).flat()
    const stored = await Promise.all(parts.map((part) => decompress(bucket.get(part.key), part.key)))
    const text = stored.map(String).join('')
    expect(text).not.toMatch(/it''s secret|user mapping for|alter (database|role) .* set /i)
    expect(text).toMatch(/create server far .* bare;/i)
    expect(warnings).toEqual([
      'masked: 2 user mappings were left out',
      expect.stringMatching(/^masked: the options of .*server far, server "near by"/),
      expect.stringMatching(/^masked: \d settings of the database/),
    ])
    const url = `postgresql://postgres@127.0.0.1:${postgres.port}/masked`
    const args = ['--server', `db${NEWEST}`, '--dump', dump_id, '--masked', '--database-url', url, '--create']
    await postboxOk(['restore-dump', ...args], keyholderEnv(newest.s3, 'backups'))
  })

  /** What pg_dump and pg_restore make of the same database there; psql cannot read a function with the name "begin". */
  const makeReference = async (from: SandboxPostgres, to: SandboxPostgres) => {
    await to.query('create database reference template template0')
    const script = '"$1/pg_dump" -Fc -Z0 -N backup -d "$2" | "$1/pg_restore" -e -d "$3"'
    const args = [bin!, from.url(), to.url({ database: 'reference' })]
    await run('bash', ['-o', 'pipefail', '-c', script, 'bash', ...args], { env: plainEnv })
  }
})
