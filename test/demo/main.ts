import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Grant } from '../../src/box/grant.js'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { diffSnapshots, snapshotRows, type Snapshot } from '../sandbox/compare.js'
import { postboxOk } from '../sandbox/command.js'
import { sandboxOwned, scratchDir, startFromDataDir } from '../sandbox/postgres.js'
import { until } from '../sandbox/until.js'
import { startWorkload, type Workload } from '../sandbox/workload.js'
import { tryToHarm } from './intruder.js'
import { heading, output, say, table, typed } from './screen.js'

const began = performance.now()

/** From an empty Postgres to a lost one and back, on this machine alone. Only the S3 service is ours. */
async function main(): Promise<void> {
  heading('A database server that holds no S3 key')
  const backedUp = await BackedUpServer.start()
  try {
    await showSetUp(backedUp)
    const workload = await startWorkload(backedUp.postgres)
    await takeBaseBackup(backedUp)
    await lookAround(backedUp)
    await breakIn(backedUp)
    const { before, at } = await loseEverything(backedUp, workload)
    await restoreAndCompare(backedUp, before, at)
  } finally {
    await backedUp.remove()
  }
}

async function showSetUp({ postgres, s3, worker }: BackedUpServer): Promise<void> {
  const [{ version } = { version: '' }] = await postgres.query<{ version: string }>(
    "select current_setting('server_version') version",
  )
  say(`PostgreSQL ${version} on port ${postgres.port}; S3 at ${s3.endpoint}, bucket "backups", which keeps versions`)
  typed('database', 'postbox install')
  typed('keyholder', 'postbox grant --server db1 --expires 12h')
  typed('database', "SELECT backup.install_grant('…');")
  typed('worker', `postbox worker   (process ${worker.pid}: it knows POSTBOX_DATABASE_URL and nothing else)`)
  typed('database', 'SELECT server, bucket, key_prefix, max_part_bytes, expires_at FROM backup.grants;')
  table(await postgres.query('select server, bucket, key_prefix, max_part_bytes, expires_at from backup.grants'))
}

async function takeBaseBackup(backedUp: BackedUpServer): Promise<void> {
  heading('A base backup, while two clients keep writing')
  typed('database', "SELECT backup.start_base('before the upgrade');")
  const jobId = await backedUp.backUp('before the upgrade')
  typed('database', `CALL backup.wait(${jobId});  SELECT … FROM backup.jobs;`)
  table(
    await backedUp.postgres.query(
      `select job_id, kind, state, label, pg_size_pretty(bytes_done) as size, (ended_at - started_at)::text as took
       from backup.jobs`,
    ),
  )
}

async function lookAround(backedUp: BackedUpServer): Promise<void> {
  heading('What a DBA looks at')
  const { postgres } = backedUp
  await backedUp.storeAllWal()
  typed('database', 'SELECT … FROM backup.recovery_windows;')
  table(
    await postgres.query(
      'select backup_id, timeline, from_lsn, to_lsn, from_at::text, to_at::text from backup.recovery_windows',
    ),
  )
  typed('database', 'SELECT … FROM backup.wal_coverage;')
  table(
    await postgres.query('select timeline, from_lsn, to_lsn, pg_size_pretty(bytes) as size from backup.wal_coverage'),
  )
  typed('database', 'SELECT name, state, message FROM backup.checks;')
  table(await postgres.query('select name, state, message from backup.checks order by name'))
}

async function breakIn({ postgres, bucket }: BackedUpServer): Promise<void> {
  heading('Somebody breaks in, and finds the grant')
  const [row] = await postgres.query<{ grant: Grant }>('select backup._grant() as grant')
  const part = bucket.keys().find((key) => key.endsWith('.tar.zst'))!
  const attempts = await tryToHarm(row!.grant, part)
  table(attempts)
  if (attempts.slice(0, -1).some(({ answer }) => !answer.startsWith('refused')))
    throw new Error('the grant can do more than post')
}

/** A mistake, then a crash and an empty disk. What there was before the mistake, and when that was. */
async function loseEverything(backedUp: BackedUpServer, workload: Workload): Promise<{ before: Snapshot; at: string }> {
  heading('A mistake, then the end of the server')
  const { postgres } = backedUp
  await delay(500)
  await workload.pause()
  const before = await snapshotRows(postgres)
  const [moment] = await postgres.query<{ at: string }>('select clock_timestamp()::text at')
  say(`at ${moment!.at} everything is right`)
  await delay(100)
  typed('database', 'DROP TABLE workload.account;')
  await postgres.query('drop table workload.account')
  await workload.pause()
  await backedUp.untilDurable()
  typed('database', 'SELECT durable_lsn, bytes_at_risk, seconds_at_risk FROM backup.status;')
  table(await postgres.query('select durable_lsn, bytes_at_risk, seconds_at_risk from backup.status'))
  typed('database', 'kill -9 of Postgres and worker; rm -rf of the data directory')
  await workload.stop().catch(() => undefined)
  await Promise.all([postgres.kill9(), backedUp.worker.kill9()])
  await rm(postgres.dataDir, { recursive: true })
  return { before, at: moment!.at }
}

async function restoreAndCompare(
  { keyholderEnv, server }: BackedUpServer,
  before: Snapshot,
  at: string,
): Promise<void> {
  heading('The keyholder restores, from the bucket alone')
  typed('keyholder', `postbox list --server ${server}`)
  output(await postboxOk(['list', '--server', server], keyholderEnv))
  const dataDir = await sandboxOwned(join(await scratchDir('restore'), 'data'))
  typed('keyholder', `postbox restore --server ${server} --data-dir DIR --target 'time=${at}'`)
  output(
    await postboxOk(['restore', '--server', server, '--data-dir', dataDir, '--target', `time=${at}`], keyholderEnv),
  )

  heading('The restored server beside the lost one')
  typed('keyholder', 'pg_ctl -D DIR start')
  const restored = await startFromDataDir({ version: 18, dataDir, env: keyholderEnv })
  try {
    await until('recovery has ended', async () => {
      const [row] = await restored.query<{ over: boolean }>('select not pg_is_in_recovery() as over')
      return row!.over
    })
    const differences = diffSnapshots(before, await snapshotRows(restored), { recovered: true, open: 2 })
    if (differences.length > 0) throw new Error(`the restored server differs:\n${differences.join('\n')}`)
    for (const [name, { rows }] of Object.entries(before.rows)) say(`${name.padEnd(32)} ${rows.padStart(6)} rows`)
    say(
      `every row, index and sequence compared, ${((performance.now() - began) / 1000).toFixed(0)} s after the start: identical`,
    )
  } finally {
    await restored.remove()
  }
}

await main()
