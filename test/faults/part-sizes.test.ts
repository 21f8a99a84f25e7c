import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { diffSnapshots, snapshotRows } from '../sandbox/compare.js'
import { Restores } from '../sandbox/restored.js'
import { makeGrant } from '../sandbox/s3/test-grant.js'
import { checkBecomes, recordAllWal, slotPosition, writeNoise } from './observe.js'
import { showLogOfFailures } from './show-log.js'

const MIB = 1024 * 1024
const PART = /\/base\/[^/]+\/base\//

let backedUp: BackedUpServer

beforeAll(async () => {
  backedUp = await BackedUpServer.start({ initdb: ['--wal-segsize=1'] })
  await backedUp.postgres.query("select backup.configure('part_bytes', '1MB')")
})

afterAll(async () => {
  await backedUp.remove()
})

showLogOfFailures(() => backedUp)

describe('a grant for small parts', () => {
  test('gets a base backup in parts that it allows, however little the bytes compress', async () => {
    await writeNoise(backedUp, 12)
    await recordAllWal(backedUp)
    await install({ maxPartBytes: MIB, expiresInSeconds: 15 * 3600 })
    const from = backedUp.s3.requests.length
    await backedUp.backUp()
    const parts = backedUp.s3.requests.slice(from).filter(({ key }) => key && PART.test(key))
    expect(parts.length).toBeGreaterThan(12)
    expect(parts.every(({ status }) => status === 201)).toBe(true)
  })

  test('and as many at once as can be set, they are restored by as many at once', async () => {
    await backedUp.postgres.query("select backup.configure('upload_connections', '32')")
    await backedUp.backUp()
    await backedUp.untilDurable()
    const restores = new Restores(backedUp.s3, 'backups')
    try {
      const restored = await restores.recover(['--jobs', '64'])
      const before = await snapshotRows(backedUp.postgres)
      expect(diffSnapshots(before, await snapshotRows(restored), { recovered: true })).toEqual([])
    } finally {
      await restores.remove()
    }
  })

  test('that a whole segment does not fit into is said to be too small, and WAL waits', async () => {
    await install({ maxPartBytes: MIB / 2, expiresInSeconds: 16 * 3600 })
    const before = await slotPosition(backedUp)
    await writeNoise(backedUp, 3)
    const check = await checkBecomes(backedUp, 'box', 'crit')
    expect(check.message).toMatch(/\/wal\/.* has \d+ bytes, and the grant allows 524288/)
    expect(check.hint).toContain('--max-part-bytes')
    expect(check.hint).not.toContain('part_bytes smaller')
    await install({ maxPartBytes: 2 * MIB, expiresInSeconds: 17 * 3600 })
    await recordAllWal(backedUp)
    expect(await slotPosition(backedUp)).not.toBe(before)
    await checkBecomes(backedUp, 'box', 'ok')
  })

  test('that is too small for any is said to be', async () => {
    await install({ maxPartBytes: 100_000, expiresInSeconds: 18 * 3600 })
    const job = await backedUp.ended(await backedUp.startBase())
    expect(job).toMatchObject({ state: 'failed', error_code: 'part_too_large' })
    expect(job.error_hint).toContain('--max-part-bytes')
    await install({ maxPartBytes: MIB, expiresInSeconds: 19 * 3600 })
    await backedUp.backUp()
    await checkBecomes(backedUp, 'box', 'ok')
  })
})

async function install(choices: { maxPartBytes: number; expiresInSeconds: number }): Promise<void> {
  const grant = await makeGrant(backedUp.s3, { server: 'db1', bucket: 'backups', ...choices })
  await backedUp.postgres.query('select backup.install_grant($1)', [grant])
}
