import { appendFile, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { SandboxPostgres, scratchDir, startFromDataDir } from './postgres.js'
import { run } from './run.js'
import { until } from './until.js'

/**
 * Makes a streaming standby of a running server, which is not disturbed, and waits until it follows. The caller removes it.
 *
 * The packages have no pg_basebackup, so it is Postgres's own low-level copy.
 */
export async function startStandby(primary: SandboxPostgres, settings: Record<string, string> = {}) {
  const dataDir = join(await scratchDir('standby'), 'data')
  const session = await primary.connect()
  try {
    await session.query(`select pg_backup_start('standby', true)`)
    await run('cp', ['-a', primary.dataDir, dataDir])
    const { rows } = await session.query<{ labelfile: string }>('select labelfile from pg_backup_stop(false)')
    await writeFile(join(dataDir, 'backup_label'), rows[0]!.labelfile)
  } finally {
    await session.end()
  }
  await rm(join(dataDir, 'postmaster.pid'), { force: true })
  const slots = join(dataDir, 'pg_replslot')
  for (const slot of await readdir(slots)) await rm(join(slots, slot), { recursive: true })
  await writeFile(join(dataDir, 'standby.signal'), '')
  await follow({ dataDir }, primary)
  await run('chown', ['-R', '--reference', primary.dataDir, dataDir])
  const standby = await startFromDataDir({
    version: primary.version,
    dataDir,
    settings: { fsync: 'off', wal_keep_size: '0', ...settings },
  })
  await caughtUp(standby, primary)
  return standby
}

/** Says whom a standby follows; `null` cuts it off. One that runs must be told to read its settings again. */
export async function follow({ dataDir }: { dataDir: string }, primary: SandboxPostgres | null): Promise<void> {
  const value = primary === null ? '' : `host=127.0.0.1 port=${primary.port} user=postgres`
  await appendFile(join(dataDir, 'postgresql.auto.conf'), `primary_conninfo = '${value}'\n`)
}

/** Cuts a running standby off from its primary, and waits until nothing comes any more. */
export async function cutOff(standby: SandboxPostgres): Promise<void> {
  await follow(standby, null)
  await standby.query('select pg_reload_conf()')
  await until('the standby receives nothing', async () => {
    const [row] = await standby.query<{ cut: boolean }>(
      `select not exists (select from pg_stat_wal_receiver) and current_setting('primary_conninfo') = '' as cut`,
    )
    return row!.cut
  })
}

/** Waits until a standby has replayed all that its primary has written; when it never does, tells what it is doing. */
export async function caughtUp(standby: SandboxPostgres, primary: SandboxPostgres): Promise<void> {
  const [end] = await primary.query<{ lsn: string }>('select pg_current_wal_flush_lsn()::text as lsn')
  const replayed = until(`the standby has replayed ${end!.lsn}`, async () => {
    const [row] = await standby.query<{ done: boolean }>('select pg_last_wal_replay_lsn() >= $1::pg_lsn as done', [
      end!.lsn,
    ])
    return row!.done
  })
  await replayed.catch(async (error: unknown) => {
    throw new Error(`${String(error)}\n${await whyBehind(standby, primary)}`, { cause: error })
  })
}

async function whyBehind(standby: SandboxPostgres, primary: SandboxPostgres): Promise<string> {
  const replay = await standby.query(
    `select pg_last_wal_receive_lsn()::text as received, pg_last_wal_replay_lsn()::text as replayed,
            (select to_jsonb(r) - 'conninfo' from pg_stat_wal_receiver r) as receiver`,
  )
  const ACTIVITY = `select pid, backend_type, state, wait_event, xact_start, left(query, 200) as query
                      from pg_stat_activity where pid <> pg_backend_pid()`
  const seen = {
    replay,
    standby: await standby.query(ACTIVITY),
    senders: await primary.query('select pid, state, sent_lsn::text, flush_lsn::text from pg_stat_replication'),
    primary: await primary.query(ACTIVITY),
  }
  const ends = await Promise.all([standby, primary].map((one) => one.log()))
  return [JSON.stringify(seen, null, 1), ...ends.map((log) => log.split('\n').slice(-30).join('\n'))].join('\n')
}

/** Makes a primary of a standby, and waits until it is one. */
export async function promote(standby: SandboxPostgres): Promise<void> {
  await standby.query('select pg_promote(false)')
  await until('the standby is promoted', async () => {
    const [row] = await standby.query<{ done: boolean }>('select not pg_is_in_recovery() as done')
    return row!.done
  })
}
