import { appendFile, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { parseManifestKey, parseSegmentKey, parseTailKey } from '../../src/box/key-names.js'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { postgresHome } from '../sandbox/binaries.js'
import { linesOf, settingsOf } from '../sandbox/by-hand.js'
import { databaseText, firstDifference } from '../sandbox/client/database-text.js'
import { clientPrograms } from '../sandbox/client/programs.js'
import { diffSnapshots, snapshotRows, type Snapshot } from '../sandbox/compare.js'
import { freePort } from '../sandbox/ports.js'
import { removeScratch, sandboxOwned, SandboxPostgres, scratchDir } from '../sandbox/postgres.js'
import { loadRegression } from '../sandbox/regression/load-regression.js'
import { plainEnv, run } from '../sandbox/run.js'

const bin = await clientPrograms()

/** A shell with what step 1 asks for filled in, as the user that runs Postgres. */
class ByHand {
  constructor(
    readonly backedUp: BackedUpServer,
    readonly home: string,
    readonly values: Record<string, string>,
  ) {}

  static async open(backedUp: BackedUpServer, values: Record<string, string>): Promise<ByHand> {
    const { s3, server, bucket } = backedUp
    const [, system] = bucket
      .keys()
      .find((key) => key.split('/').length > 2)!
      .split('/')
    const all = {
      ...{ ENDPOINT: s3.endpoint, REGION: s3.region, BUCKET: 'backups', SERVER: server, SYSTEM: system! },
      ...{ AWS_ACCESS_KEY_ID: s3.accessKey, AWS_SECRET_ACCESS_KEY: s3.secretKey },
      ...{ BACKUP: '-', DUMP: '-', PORT: String(await freePort()), TARGET: `recovery_target_timeline = 'latest'` },
      ...values,
    }
    return new ByHand(backedUp, await scratchDir('by-hand'), all)
  }

  /** Runs the lines of these steps, after what was filled in for the first, and gives what they print. */
  async run(steps: readonly string[], env: Record<string, string> = {}): Promise<string> {
    const { version } = this.backedUp.postgres
    const { directory } = await postgresHome(version)
    const lines = linesOf(this.backedUp.server, steps)
    const all = { ...this.values, PATH: `${directory}/bin:${bin!}:${plainEnv.PATH}`, LC_ALL: 'C', ...env }
    return run('sh', ['-euc', lines], { cwd: this.home, env: all, asSandboxUser: true })
  }
}

describe.skipIf(bin === null)('a base backup by the lines of the note', () => {
  let backedUp: BackedUpServer
  let backup: string
  let other: string
  let original: Snapshot
  let moment: string
  const started: SandboxPostgres[] = []

  beforeAll(async () => {
    backedUp = await BackedUpServer.start({
      settings: { allow_in_place_tablespaces: 'on' },
    })
    const { postgres } = backedUp
    await postgres.query("select backup.configure('part_bytes', '1MB'), backup.configure('wal_interval', '100ms')")
    other = await sandboxOwned(join(await scratchDir('space'), 'other'))
    await postgres.query(`create tablespace other location '${other}'`)
    await postgres.query(`create tablespace within location ''`)
    await postgres.query('create table t (n int, x text) tablespace other')
    await postgres.query(
      'create table f tablespace within as select n, md5(n::text) x from generate_series(1, 200000) n',
    )
    // What an earlier restore of this server left, which must not end this one.
    await appendFile(join(postgres.dataDir, 'postgresql.auto.conf'), "recovery_target_time = '2001-01-01'\n")
    await postgres.query("insert into t values (1, 'before the backup')")
    await backedUp.backUp()
    backup = backedUp.bucket.keys().flatMap((key) => parseManifestKey(key)?.backupId ?? [])[0]!
    await postgres.query("insert into t values (2, 'after it')")
    const [row] = await postgres.query<{ now: string }>('select clock_timestamp()::text as now')
    moment = row!.now
    await postgres.query('insert into t select n, repeat(md5(n::text), 20) from generate_series(3, 5000) n')
    await postgres.query("insert into t values (5001, 'in the last tail')")
    await backedUp.untilDurable()
    original = await snapshotRows(postgres)
    await backedUp.worker.kill9()
    await postgres.stop('immediate')
  })
  afterEach(async () => {
    for (const server of started.splice(0)) await server.remove()
  })
  afterAll(async () => {
    await backedUp.remove()
    await removeScratch()
  })

  /** Steps 1 to 9, and the server that they leave running. */
  async function restore(target: Record<string, string> = {}): Promise<{ said: string; server: SandboxPostgres }> {
    const byHand = await ByHand.open(backedUp, { BACKUP: backup, ...target })
    const steps = ['2', '3', '4', '5', '6', '7', '8', '9']
    const said = await byHand.run(steps, { PGUSER: 'postgres' }).catch(async (cause: Error) => {
      throw new Error(await readFile(join(byHand.home, 'data.log'), 'utf8').catch(() => ''), { cause })
    })
    const dataDir = join(byHand.home, 'data')
    await run(join((await postgresHome(18)).directory, 'bin/pg_ctl'), ['-D', dataDir, '-w', 'stop'], {
      asSandboxUser: true,
    })
    const server = new SandboxPostgres(18, dataDir, await scratchDir('pg'), await freePort(), {})
    started.push(server)
    await server.start()
    return { said, server }
  }

  test('brings back every row up to that of the last tail, out of several parts and tablespaces', async () => {
    const parts = backedUp.bucket.keys().filter((key) => /\/base\/[^/]+\/base\/\d+-.*\.tar\.zst$/.test(key))
    expect(parts.length).toBeGreaterThan(1)
    const segments = backedUp.bucket.keys().flatMap((key) => parseSegmentKey(key)?.name ?? [])
    const tailed = backedUp.bucket.keys().flatMap((key) => parseTailKey(key)?.name ?? [])
    const last = tailed.sort().at(-1)!
    expect(segments).not.toContain(last)

    const { said, server } = await restore()
    for (const right of [
      'the backup is what was stored',
      'backup successfully verified',
      'archive recovery complete',
    ]) {
      expect(said).toContain(right)
    }
    expect(said).toMatch(new RegExp(`^${last}: \\d+ of 16777216 bytes$`, 'm'))
    expect(said).not.toMatch(/not what was stored|not there whole|two servers|another server/)
    expect(diffSnapshots(original, await snapshotRows(server), { recovered: true })).toEqual([])
    expect(await server.query('select x from t where n = 5001')).toEqual([{ x: 'in the last tail' }])
    const [at] = await server.query<{ place: string }>(
      `select pg_tablespace_location(oid) as place from pg_tablespace where spcname = 'other'`,
    )
    expect(at!.place).toMatch(/\/tablespaces\/\d+$/)
    expect(at!.place).not.toContain(other)
  })

  test('stops at the moment that TARGET says', async () => {
    const { said, server } = await restore({ TARGET: `recovery_target_time = '${moment}'` })
    expect(said).toContain('recovery stopping before commit')
    expect(await server.query('select n from t order by n')).toEqual([{ n: 1 }, { n: 2 }])
  })

  test('takes what was stored first where somebody stored another manifest, or over a part', async () => {
    const { bucket } = backedUp
    const [part, manifest] = [/\.tar\.zst$/, /\/manifest-\w+\.json$/].map((end) =>
      bucket.keys().find((key) => end.test(key))!,
    )
    const later = new Date(Date.now() + 60_000)
    const forged = Buffer.from(bucket.get(manifest!).toString().replace('"label": null', '"label": "forged"'))
    bucket.put(manifest!, forged, { storedAt: later })
    bucket.put(manifest!.replace(/-\w+\.json/, '-000000000000.json'), forged, { storedAt: later })
    const byHand = await ByHand.open(backedUp, { BACKUP: backup })
    expect(await byHand.run(['2', '3'])).toMatch(/the backup is what was stored[^]*"label": null/)
    bucket.put(part!, Buffer.from('garbage'), { storedAt: later })
    const again = await ByHand.open(backedUp, { BACKUP: backup })
    const said = await again.run(['2', '3'])
    expect(said).toMatch(/\.tar\.zst: FAILED/)
    expect(said).not.toContain('the backup is what was stored')
    const file = part!.slice(part!.indexOf(backup) + backup.length + 1)
    const repaired = `${linesOf('db1', ['2'])}\nfetch_version $(versions ${part!} | head -n 1) backup/${file}\n`
    await writeFile(join(again.home, 'repair.sh'), repaired)
    await run('sh', ['-eu', 'repair.sh'], { cwd: again.home, env: { ...again.values, PATH: plainEnv.PATH } })
    expect((await readFile(join(again.home, 'backup', file))).equals(bucket.versions(part!).at(-1)!.bytes!)).toBe(true)
  })
})

describe.skipIf(bin === null)('a dump by the lines of the note', () => {
  let backedUp: BackedUpServer

  beforeAll(async () => {
    backedUp = await BackedUpServer.start({ workerEnv: { PATH: bin! }, settings: { max_locks_per_transaction: '256' } })
    const { postgres } = backedUp
    await postgres.query('alter role postbox_worker superuser')
    await loadRegression(postgres)
    // As the page says: psql cannot read these.
    await postgres.query('drop schema "begin" cascade')
    await postgres.query('create table "key" ("key" text, "sha256" text, "it\'s" int)')
    await postgres.query(`insert into "key" values ('a', 'b', 1)`)
    await postgres.query("select backup.configure('dump_split_bytes', '1MB')")
  })
  afterAll(async () => {
    await backedUp.remove()
    await removeScratch()
  })

  test('brings back what pg_dump can see', async () => {
    const { postgres } = backedUp
    const [row] = await postgres.query<{ id: string }>('select backup.start_dump() id')
    expect(await backedUp.ended(BigInt(row!.id))).toMatchObject({ state: 'done' })
    const [server, system, , id] = backedUp.bucket
      .keys()
      .find((key) => key.includes('/dump/'))!
      .split('/')
    const byHand = await ByHand.open(backedUp, { DUMP: id! })
    expect(settingsOf('db1').sort()).toEqual(Object.keys(byHand.values).sort())
    const env = { PGHOST: '127.0.0.1', PGPORT: String(postgres.port), PGUSER: 'postgres' }
    const said = await byHand.run(['2', 'D1', 'D2'], env)
    expect(said).toContain(`${server!}/${system!}/dump/${id!}/\n`)
    expect(said).toContain('the dump is what was stored')
    const texts = await Promise.all(
      ['postgres', 'copy'].map((name) => databaseText(bin!, postgres, name, ['--exclude-table-data=tables.by_enum_*'])),
    )
    expect(firstDifference(texts[0]!, texts[1]!)).toBeNull()
  })
})
