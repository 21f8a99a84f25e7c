import type { BackedUpServer } from '../sandbox/backed-up-server.js'
import type { SandboxPostgres } from '../sandbox/postgres.js'
import { until } from '../sandbox/until.js'

export interface Check {
  state: 'ok' | 'warn' | 'crit'
  message: string
  hint: string | null
}

/** One row of backup.checks. */
export async function checkOf({ postgres }: { postgres: SandboxPostgres }, name: string): Promise<Check> {
  const [row] = await postgres.query<Check>('select state, message, hint from backup.checks where name = $1', [name])
  return row!
}

/** Waits until a check is in this state, and gives it. */
export function checkBecomes(
  backedUp: { postgres: SandboxPostgres },
  name: string,
  state: Check['state'],
): Promise<Check> {
  return until(`the check ${name} is ${state}`, async () => {
    const check = await checkOf(backedUp, name)
    return check.state === state ? check : null
  })
}

/** What the server was told to be stored, as its slot has it. */
export async function slotPosition({ source }: BackedUpServer): Promise<string> {
  const [row] = await source.query<{ lsn: string }>(
    "select restart_lsn::text lsn from pg_replication_slots where slot_name = 'postbox'",
  )
  return row!.lsn
}

/** Finishes the segment that is being written, and waits until it and all before it are stored whole and have their rows. */
export async function recordAllWal({ postgres, source }: BackedUpServer): Promise<void> {
  // Somebody's own work: without any the row may wait.
  await postgres.query('select pg_current_xact_id()')
  const [row] = await postgres.query<{ lsn: string }>('select pg_switch_wal()::text lsn')
  await until(`all WAL of the segment before ${row!.lsn} is stored and recorded`, async () => {
    const [rows] = await postgres.query<{ lsn: string; recorded: boolean }>(
      `select max(to_lsn)::text as lsn, max(to_lsn) >= $1::pg_lsn as recorded from backup.wal_coverage`,
      [row!.lsn],
    )
    const [at] = await source.query<{ flushed: boolean }>(
      `select max(flush_lsn) >= $1::pg_lsn as flushed from pg_stat_replication where application_name = 'postbox'`,
      [rows!.lsn],
    )
    return rows!.recorded && at!.flushed
  })
}

/** Writes and finishes so many segments. */
export async function writeSegments({ postgres }: { postgres: SandboxPostgres }, count: number): Promise<void> {
  for (let n = 0; n < count; n++) {
    await postgres.query('select pg_current_xact_id()')
    await postgres.query('select pg_switch_wal()')
  }
}

/** A table of bytes that no codec makes smaller. */
export async function writeNoise({ postgres }: { postgres: SandboxPostgres }, megabytes: number): Promise<void> {
  await postgres.query('create table if not exists noise (bytes bytea)')
  await postgres.query('alter table noise alter column bytes set storage external')
  await postgres.query(
    `insert into noise
     select (select string_agg(uuid_send(gen_random_uuid()), '' order by m) from generate_series(1, 4096) m where n > 0)
     from generate_series(1, $1::int * 16) n`,
    [megabytes],
  )
}
