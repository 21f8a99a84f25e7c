import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseSegmentKey } from '../../src/box/key-names.js'
import type { PruneReport } from '../../src/keyholder/prune/prune-report.js'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { postbox, postboxOk } from '../sandbox/command.js'
import { Restores } from '../sandbox/restored.js'
import { scratchDir } from '../sandbox/postgres.js'
import { TestIssuer } from '../sandbox/test-issuer.js'

let backedUp: BackedUpServer
let restores: Restores
let env: Record<string, string>

beforeAll(async () => {
  backedUp = await BackedUpServer.start()
  restores = new Restores(backedUp.s3, 'backups')
  await backedUp.postgres.query('create table t as select generate_series(1, 1000) n')
  for (let n = 1; n <= 3; n++) {
    await backedUp.backUp(`number ${n}`)
    await backedUp.storeAllWal()
    await backedUp.postgres.query('insert into t select generate_series(1, 1000)')
  }
  await backedUp.untilDurable()
  await backedUp.worker.stop()
  const file = join(await scratchDir('keyholder'), 'keyholder.yaml')
  await writeFile(file, 'servers:\n  db1:\n    retention:\n      backups: { last: 2, for: 1d }\n')
  env = { ...backedUp.keyholderEnv, POSTBOX_KEYHOLDER_FILE: file }
  // A month later; the machine of the command has a clock that does not know it.
  backedUp.s3.shiftClock(30 * 24 * 60)
})

afterAll(async () => {
  await restores.remove()
  await backedUp.remove()
})

const report = async (...args: string[]): Promise<PruneReport> =>
  JSON.parse(await postboxOk(['prune', '--server', 'db1', '--json', ...args], env)) as PruneReport

describe('postbox prune', () => {
  test('says what it would do and why, and does nothing', async () => {
    const before = backedUp.bucket.keys()
    const text = await postboxOk(['prune', '--server', 'db1'], env)
    expect(text).toMatch(/keep +backup .* one of the last 2/)
    expect(text).toMatch(/delete +backup .* no rule keeps it/)
    expect(text).toMatch(/delete \d+ segments of timeline 1, .*: in front of the oldest kept backup/)
    expect(text).toMatch(/keep WAL of timeline 1 from 0\/[0-9A-F]+ on/)
    expect(text).toMatch(/to delete: \d+ objects, .*; to keep: .*\. Nothing was deleted: --confirm does it/)
    expect(backedUp.bucket.keys()).toEqual(before)
  })

  test('leaves what can be restored, to the last row', async () => {
    const done = await report('--confirm')
    expect(done.lives[0]!.decisions.filter(({ action }) => action === 'keep')).toHaveLength(2)
    expect(done.lives[0]!.deleted_objects).toBe(done.totals.delete_objects)
    expect(done.totals.delete_objects).toBeGreaterThan(5)
    expect((await report()).totals).toMatchObject({ delete_objects: 0, keep_bytes: done.totals.keep_bytes })
    backedUp.s3.shiftClock(0)
    const verified = await postboxOk(['verify', '--server', 'db1', '--deep'], env)
    expect(verified).toContain('nothing that was promised is lost')
    const restored = await restores.recover()
    expect(await restored.query('select count(*)::int n from t')).toEqual([{ n: 4000 }])
    const [oldest] = done.lives[0]!.decisions.filter(({ kind, action }) => kind === 'base' && action === 'keep').slice(
      -1,
    )
    const earlier = await restores.recover(['--backup', oldest!.id, '--target', 'immediate'])
    expect(await earlier.query('select count(*)::int n from t')).toEqual([{ n: 2000 }])
  })

  test('is heard of by the worker, whose catalog offers no longer what is gone', async () => {
    const { postgres, bucket } = backedUp
    const [first] = await postgres.query<{ at: string }>('select min(stopped_at)::text as at from backup.base_backups')
    const canRestore = async () => {
      const [row] = await postgres.query<{ can: boolean }>('select backup.can_restore_to($1) can', [first!.at])
      return row!.can
    }
    expect(await canRestore()).toBe(true)
    const issuer = await TestIssuer.start(backedUp)
    try {
      await backedUp.startWorker(issuer.workerEnv).says('heard of what was pruned')
    } finally {
      await issuer.close()
    }
    expect(await canRestore()).toBe(false)
    const labels = 'select label from backup.base_backups order by 1'
    expect(await postgres.query(labels)).toEqual([{ label: 'number 2' }, { label: 'number 3' }])
    expect(await postgres.query('select backup_id from backup.recovery_windows')).toHaveLength(2)
    const objects = await postgres.query<{ key: string }>(`select key from backup.objects where kind <> 'restore_note'`)
    const known = new Set(objects.map(({ key }) => key))
    expect([...known].filter((key) => !bucket.current(key)?.bytes)).toEqual([])
    expect(bucket.keys().filter((key) => parseSegmentKey(key) && !known.has(key))).toEqual([])
    expect(await postgres.query('select * from backup.wal_gaps')).toEqual([])
    await backedUp.worker.stop()
  })

  test('asks for a retention', async () => {
    const { code, stderr } = await postbox(['prune', '--server', 'db2'], env)
    expect([code, stderr]).toEqual([1, expect.stringContaining('says nothing of the retention of server db2')])
    const both = await postbox(['prune', '--server', 'db1', '--dry-run', '--confirm'], env)
    expect(both.stderr).toContain("cannot be used with option '--confirm'")
  })
})
