import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseManifestKey } from '../../src/box/key-names.js'
import { diffSnapshots, snapshotRows } from '../sandbox/compare.js'
import { postgresVersions } from '../sandbox/postgres.js'
import { Restores } from '../sandbox/restored.js'
import { startWorkload } from '../sandbox/workload.js'
import { disagreements, storedManifests } from './agreement.js'
import { checkOf } from './observe.js'
import { startPlainly } from './plain-restore.js'
import { showLogOfFailures } from './show-log.js'
import { StandbyPair } from './standby-pair.js'
import { until } from '../sandbox/until.js'

describe.each(postgresVersions)('a worker that reads from a standby of Postgres %i', (version) => {
  let pair: StandbyPair
  let restores: Restores

  beforeAll(async () => {
    pair = await StandbyPair.start({ version })
    restores = new Restores(pair.server.s3, 'backups', version)
    await pair.workFromStandby()
  })
  afterAll(async () => {
    await restores.remove()
    await pair.remove()
  })
  showLogOfFailures(() => pair.server)

  test('makes its slot there and none on the primary', async () => {
    const read = "select from pg_replication_slots where slot_name = 'postbox' and active"
    await until('the slot is read', async () => (await pair.standby.query(read)).length === 1)
    // Nor the one that keeps segments which have no row.
    expect(await pair.primary.query('select slot_name from pg_replication_slots')).toEqual([])
  })

  test('backs up what restores to the rows of the primary, under load', async () => {
    const workload = await startWorkload(pair.primary)
    await pair.server.backUp()
    await workload.stop()
    const rows = await snapshotRows(pair.primary)
    expect(await disagreements(pair.server)).toEqual([])
    const restored = await restores.recover()
    expect(diffSnapshots(rows, await snapshotRows(restored), { recovered: true })).toEqual([])
  })

  test('backs up an idle server, whose WAL nobody would finish', async () => {
    await pair.server.backUp()
    expect(await disagreements(pair.server)).toEqual([])
    const { stopped_at, backup_label } = storedManifests(pair.server).at(-1)!
    expect(backup_label).toContain('BACKUP FROM: standby')
    expect(Date.parse(stopped_at)).toBeLessThanOrEqual(Date.now())
  })

  test('leaves what plain tools restore', async () => {
    const rows = await snapshotRows(pair.primary)
    const newest = storedManifests(pair.server).at(-1)!.backup_id
    const key = pair.server.bucket.keys().find((one) => parseManifestKey(one)?.backupId === newest)!
    const restored = await startPlainly(pair.server.bucket, key)
    try {
      expect(diffSnapshots(rows, await snapshotRows(restored), { recovered: true })).toEqual([])
    } finally {
      await restored.remove()
    }
  })

  test('is well in all checks on the primary', async () => {
    for (const name of ['worker', 'wal_delay', 'wal_gap', 'slot', 'slot_limit']) {
      expect(await checkOf(pair.server, name)).toMatchObject({ state: 'ok' })
    }
  })
})
