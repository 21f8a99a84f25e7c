import { afterEach, expect, test } from 'vitest'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { postbox, postboxOk } from '../sandbox/command.js'
import type { SandboxPostgres } from '../sandbox/postgres.js'
import { Restores } from '../sandbox/restored.js'
import { writeSegments } from './observe.js'
import { showLogOfFailures } from './show-log.js'

let backedUp: BackedUpServer
let original: SandboxPostgres
let restores: Restores

afterEach(async () => {
  // The one that was restored goes with the restores.
  await backedUp.worker.kill9()
  backedUp.postgres = original
  await restores.remove()
  await backedUp.remove()
})

showLogOfFailures(() => backedUp)

async function write(n: number, segments: number): Promise<void> {
  await backedUp.postgres.query('insert into written values ($1)', [n])
  await writeSegments(backedUp, segments)
  await backedUp.storeAllWal()
}

async function backupIdOf(label: string): Promise<string> {
  const [row] = await backedUp.postgres.query<{ backup_id: string }>(
    'select backup_id from backup.base_backups where label = $1',
    [label],
  )
  return row!.backup_id
}

/** As `label: timeline` */
async function windows(): Promise<string[]> {
  const rows = await backedUp.postgres.query<{ text: string }>(
    `select b.label || ': ' || w.timeline as text from backup.recovery_windows w join backup.base_backups b using (backup_id)
     order by 1`,
  )
  return rows.map(({ text }) => text)
}

async function written(postgres: SandboxPostgres): Promise<number[]> {
  return (await postgres.query<{ n: number }>('select n from written order by n')).map(({ n }) => n)
}

const rebuild = (url: string) =>
  postbox(['rebuild-catalog', '--server', 'db1', '--database-url', url], backedUp.keyholderEnv)

test('a server that was restored to a time is another life under the same name, and its catalog can be completed', async () => {
  backedUp = await BackedUpServer.start({ initdb: ['--wal-segsize=1'] })
  original = backedUp.postgres
  restores = new Restores(backedUp.s3, 'backups')
  await original.query('create table written (n int)')
  await write(1, 1)
  await backedUp.backUp('old')
  await write(2, 2)
  await backedUp.backUp('old, later')
  await write(3, 2)
  const backupId = await backupIdOf('old')
  await backedUp.worker.stop()
  await original.stop()
  const before = new Set(backedUp.bucket.keys())

  // There the backup that it is restored from is still being taken.
  const restored = await restores.recover(['--backup', backupId, '--target', 'immediate'])
  backedUp.postgres = backedUp.source = restored
  const [stale] = await restored.query<{ job_id: string; state: string }>('select job_id, state from backup.jobs')
  expect(stale!.state).toBe('interrupted')
  await backedUp.resume()
  await backedUp.worker.says('another life')
  expect(await backedUp.job(BigInt(stale!.job_id))).toMatchObject({
    state: 'failed',
    error_code: 'server_restored',
    error_hint: expect.stringContaining('rebuild-catalog') as string,
  })
  await write(4, 2)
  await backedUp.backUp('new')
  await write(5, 2)
  expect(await windows()).toEqual(['new: 2'])

  const { code, stderr } = await rebuild(restored.url())
  expect([code, stderr]).toEqual([0, ''])
  expect(await windows()).toEqual(['new: 2', 'old, later: 1', 'old: 1', 'old: 2'])
  expect(await restored.query('select * from backup.wal_gaps')).toEqual([])
  // It is not told again that it was restored, and goes on in the catalog that is whole.
  await backedUp.worker.stop()
  await backedUp.resume()
  expect(backedUp.worker.log).not.toContain('another life')
  await backedUp.backUp('newer')
  await write(6, 1)

  // Nothing of the old life was written over.
  const { bucket } = backedUp
  for (const key of bucket.keys().filter((one) => before.has(one))) {
    const contents = new Set(bucket.versions(key).map(({ bytes }) => bytes!.toString('hex')))
    expect([key, contents.size]).toEqual([key, 1])
  }
  const verified = await postboxOk(['verify', '--server', 'db1', '--json'], backedUp.keyholderEnv)
  expect(JSON.parse(verified)).toMatchObject({ ok: true, servers: [{ problems: [] }] })
  expect(await written(await restores.recover(['--target-timeline', '1']))).toEqual([1, 2, 3])
  const third = await restores.recover(['--backup', backupId])
  expect(await written(third)).toEqual([1, 4, 5, 6])

  // Once more, and this time its catalog is completed before the worker starts.
  await backedUp.worker.stop()
  backedUp.postgres = backedUp.source = third
  expect((await rebuild(third.url())).stderr).toBe('')
  await backedUp.resume()
  await write(7, 1)
  await backedUp.backUp('third')
  const ofAll = ['new: 2', 'new: 3', 'newer: 2', 'newer: 3', 'old, later: 1', 'old: 1', 'old: 2', 'old: 3', 'third: 3']
  expect(await windows()).toEqual(ofAll)
  expect(await third.query('select * from backup.wal_gaps')).toEqual([])

  // A new server under the name has nothing of either, and gets nothing of them.
  const reinstalled = await BackedUpServer.start({ beside: backedUp, initdb: ['--wal-segsize=1'] })
  try {
    await reinstalled.backUp('reinstalled')
    expect((await rebuild(reinstalled.postgres.url())).code).toBe(0)
    const labels = await reinstalled.postgres.query<{ label: string }>('select label from backup.base_backups')
    expect(labels).toEqual([{ label: 'reinstalled' }])
  } finally {
    await reinstalled.remove()
  }
}, 240_000)
