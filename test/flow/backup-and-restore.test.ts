import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { diffSnapshots, snapshotRows, verifyBackupManifest, type Snapshot } from '../sandbox/compare.js'
import { postbox, postboxOk } from '../sandbox/command.js'
import { verifyPageChecksums } from '../../src/keyholder/drill/page-checksums.js'
import { postgresVersions, sandboxOwned, scratchDir, startFromDataDir } from '../sandbox/postgres.js'
import { until } from '../sandbox/until.js'
import { makeTablespace, missingRows, startWorkload, type Acknowledged } from '../sandbox/workload.js'

interface Moment {
  at: string
  rows: Snapshot
}

describe.each(postgresVersions)('Postgres %i, lost and restored from the bucket alone', (version) => {
  let backedUp: BackedUpServer
  let tablespace: { oid: number; location: string }
  let acknowledged: readonly Acknowledged[]
  let between: Moment
  let last: Snapshot
  let home: string

  /** Restores into a new directory as a keyholder would. */
  async function restore(name: string, target: string): Promise<{ dataDir: string; printed: string }> {
    const dataDir = await sandboxOwned(join(home, name))
    const spaceDir = await sandboxOwned(join(home, `${name}-space`))
    const where = ['--data-dir', dataDir, '--tablespace', `${tablespace.oid}=${spaceDir}`]
    const printed = await postboxOk(['restore', '--server', 'db1', ...where, '--target', target], backedUp.keyholderEnv)
    return { dataDir, printed }
  }

  /** Starts a restored directory, waits for the end of recovery and hands it over, then checks every page of it. */
  async function recovered(dataDir: string, look: (rows: Snapshot) => Promise<void>, ids?: readonly Acknowledged[]) {
    const restored = await startFromDataDir({ version, dataDir, env: backedUp.keyholderEnv })
    try {
      await until('recovery has ended', async () => {
        const [row] = await restored.query<{ over: boolean }>('select not pg_is_in_recovery() as over')
        return row!.over
      })
      await look(await snapshotRows(restored))
      if (ids) expect(await missingRows(restored, ids)).toEqual([])
      await restored.stop()
      const pages = await verifyPageChecksums(dataDir)
      expect(pages.bad).toEqual([])
      expect(pages.pages).toBeGreaterThan(1000)
    } finally {
      await restored.remove()
    }
  }

  beforeAll(async () => {
    home = await scratchDir('restored')
    backedUp = await BackedUpServer.start({ version })
    const { postgres } = backedUp
    tablespace = await makeTablespace(postgres, 'elsewhere')
    await postgres.query('create table far (n int primary key, t text) tablespace elsewhere')
    await postgres.query('insert into far select n, repeat(md5(n::text), 20) from generate_series(1, 5000) n')
    const workload = await startWorkload(postgres)
    await backedUp.backUp('first')
    await backedUp.backUp('second')
    await postgres.query('update far set t = upper(t) where n % 3 = 0')
    await workload.pause()
    const [moment] = await postgres.query<{ at: string }>('select clock_timestamp()::text at')
    between = { at: moment!.at, rows: await snapshotRows(postgres) }
    workload.resume()
    await postgres.query('delete from far where n > 4000')
    await until('more is written', () => workload.acknowledged.length > 50)
    await workload.stop()
    last = await snapshotRows(postgres)
    acknowledged = workload.acknowledged
    await backedUp.storeAllWal()
    await postgres.kill9()
    await backedUp.worker.kill9()
    await rm(postgres.dataDir, { recursive: true })
    await rm(tablespace.location, { recursive: true })
  })
  afterAll(async () => {
    await backedUp.remove()
  })

  test('every row is as it was at the end', async () => {
    const { bucket } = backedUp
    const parts = bucket.keys().filter((key) => key.endsWith('.tar.zst'))
    // Of the newer backup, which is taken. A post that is repeated is nobody's attack.
    const [forged, repeated] = parts.toSorted().slice(-2)
    bucket.put(forged!, Buffer.from('forged'))
    bucket.put(repeated!, bucket.get(repeated!))
    const { dataDir, printed } = await restore('latest', 'latest')
    expect(printed).toContain(`suspicious: other bytes were stored over ${forged!}`)
    expect(printed).not.toContain(repeated)
    const problems = await verifyBackupManifest(dataDir)
    // It names the new place of the tablespace now.
    expect(problems.filter((problem) => !problem.startsWith('tablespace_map:'))).toEqual([])
    await recovered(
      dataDir,
      async (rows) => {
        expect(diffSnapshots(last, rows, { recovered: true })).toEqual([])
        return Promise.resolve()
      },
      acknowledged,
    )
  })

  test('every row is as it was at a moment between two writes', async () => {
    const { dataDir } = await restore('between', `time=${between.at}`)
    await recovered(dataDir, (rows) => {
      // The two clients' next transactions have begun before the first commit behind the target.
      expect(diffSnapshots(between.rows, rows, { recovered: true, open: 2 })).toEqual([])
      expect(diffSnapshots(last, rows, { recovered: true })).not.toEqual([])
      return Promise.resolve()
    })
  })

  test('both backups are listed, and a moment that cannot be reached is refused before anything is written', async () => {
    const listed = JSON.parse(await postboxOk(['list', '--server', 'db1', '--json'], backedUp.keyholderEnv)) as object
    expect(JSON.stringify(listed)).toContain('"first"')
    expect(JSON.stringify(listed)).toContain('"second"')
    const dataDir = await sandboxOwned(join(home, 'never'))
    for (const target of ['time=2001-01-01 00:00:00+00', 'time=2100-01-01 00:00:00+00']) {
      const args = ['restore', '--server', 'db1', '--data-dir', dataDir, '--target', target]
      const { code, stderr } = await postbox(args, backedUp.keyholderEnv)
      expect(code).toBe(1)
      expect(stderr).toContain('target_unreachable')
    }
  })
})
