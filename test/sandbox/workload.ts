import { setTimeout as delay } from 'node:timers/promises'
import type { Client } from 'pg'
import type { SandboxPostgres } from './postgres.js'
import { scratchDir } from './scratch.js'

export interface WorkloadOptions {
  /** sessions that write at the same time */
  clients?: number
  /** rest of each client between two transactions */
  restMs?: number
}

/** One transaction whose COMMIT was answered. Times are the server's, as `2026-01-02 03:04:05.678901+00`. */
export interface Acknowledged {
  /** the row of workload.entry that it inserted; never changed or deleted */
  row_id: number
  /** before its commit */
  begun_at: string
  /** after its commit */
  committed_by: string
  /** at or after the end of its commit record */
  lsn: string
}

export interface Workload {
  /** in the order in which the answers came */
  readonly acknowledged: readonly Acknowledged[]
  /** Rejects as soon as a statement fails for any reason but a server that was down. */
  readonly ended: Promise<void>
  /** Returns when no transaction is open any more. */
  pause(): Promise<void>
  resume(): void
  /** Ends it. Throws if a statement failed for any reason but a server that was down. */
  stop(): Promise<void>
}

const SETUP = `
create schema workload;
-- Every row stays as it was inserted; the payload follows from row_id and lies out of line.
create table workload.entry (row_id bigint generated always as identity primary key, client int not null, payload text not null);
alter table workload.entry alter column payload set storage external;
create index entry_client_idx on workload.entry (client, row_id);
-- Rows come, change and go.
create table workload.account (account_id int primary key, balance bigint not null default 0, note text not null default '');
create index account_balance_idx on workload.account (balance);
insert into workload.account (account_id) select generate_series(1, 500);
create sequence workload.ticket;
create table workload.queue (ticket bigint primary key default nextval('workload.ticket'), body jsonb not null);
create index queue_body_idx on workload.queue using gin (body);
`

const PAYLOAD = `repeat(md5(row_id::text), 100)`

/** Keeps writing in committed transactions, from the moment it returns until it is stopped. */
export async function startWorkload(postgres: SandboxPostgres, options: WorkloadOptions = {}): Promise<Workload> {
  const { clients = 2, restMs = 5 } = options
  await postgres.query(SETUP)
  const acknowledged: Acknowledged[] = []
  const writers = Array.from({ length: clients }, (_, at) => new Writer(postgres, at + 1, restMs, acknowledged))
  const running = writers.map((writer) => writer.run())
  // A failure is thrown by stop(); until then it must not count as unhandled.
  const ended = Promise.all(running).then(() => undefined)
  for (const one of [...running, ended]) one.catch(() => undefined)
  return {
    acknowledged,
    ended,
    pause: async () => {
      await Promise.all(writers.map((writer) => writer.pause()))
    },
    resume: () => writers.forEach((writer) => writer.resume()),
    stop: async () => {
      for (const writer of writers) writer.stop()
      await Promise.all(running)
    },
  }
}

class Writer {
  #stopped = false
  #ended = false
  #gate: PromiseWithResolvers<void> | null = null
  #idle: PromiseWithResolvers<void> | null = null

  constructor(
    readonly postgres: SandboxPostgres,
    readonly client: number,
    readonly restMs: number,
    readonly acknowledged: Acknowledged[],
  ) {}

  async run(): Promise<void> {
    try {
      while (!this.#stopped) {
        try {
          await this.#session()
        } catch (error) {
          if (!serverWasDown(error)) throw error
          await delay(25)
        }
      }
    } finally {
      this.#ended = true
      this.#idle?.resolve()
    }
  }

  async pause(): Promise<void> {
    if (this.#ended) return
    this.#gate ??= Promise.withResolvers()
    this.#idle ??= Promise.withResolvers()
    await this.#idle.promise
  }

  resume(): void {
    this.#gate?.resolve()
    this.#gate = null
    this.#idle = null
  }

  stop(): void {
    this.#stopped = true
    this.resume()
  }

  async #session(): Promise<void> {
    const session = await this.postgres.connect()
    try {
      while (!this.#stopped) {
        if (this.#gate) {
          this.#idle?.resolve()
          await this.#gate.promise
          continue
        }
        this.acknowledged.push(await this.#transaction(session))
        await delay(this.restMs)
      }
    } finally {
      await session.end().catch(() => undefined)
    }
  }

  async #transaction(session: Client): Promise<Acknowledged> {
    await session.query('begin')
    const { rows: inserted } = await session.query<{ row_id: string; begun_at: string }>(
      `with next as (select nextval(pg_get_serial_sequence('workload.entry', 'row_id')) as row_id)
       insert into workload.entry (row_id, client, payload) overriding system value
       select row_id, $1, ${PAYLOAD} from next returning row_id, clock_timestamp()::text as begun_at`,
      [this.client],
    )
    const { row_id, begun_at } = inserted[0]!
    await session.query(
      `update workload.account set balance = balance + 1, note = md5($1::text) where account_id = 1 + $1::bigint % 500`,
      [row_id],
    )
    await session.query(`insert into workload.queue (body) values (jsonb_build_object('row', $1::bigint))`, [row_id])
    await session.query(
      `delete from workload.queue where ticket in
       (select ticket from workload.queue order by ticket for update skip locked limit 2) and ticket % 3 <> 0`,
    )
    await session.query('commit')
    const { rows } = await session.query<{ committed_by: string; lsn: string }>(
      'select clock_timestamp()::text as committed_by, pg_current_wal_insert_lsn()::text as lsn',
    )
    return { row_id: Number(row_id), begun_at, ...rows[0]! }
  }
}

// Class 08 and 57P0x from the server, error numbers from the system, and what pg says of a socket that has closed.
function serverWasDown(error: unknown): boolean {
  const { code = '', message = '' } = error as { code?: string; message?: string }
  return /^(08...|57P0[1-5]|E[A-Z]+)$/.test(code) || /^Connection terminated|is not queryable$/.test(message)
}

/** Ids of those rows that are not in a server, or are there with another content. */
export async function missingRows(postgres: SandboxPostgres, rows: readonly Acknowledged[]): Promise<number[]> {
  const missing = await postgres.query<{ row_id: number }>(
    `select wanted.row_id::int from unnest($1::bigint[]) as wanted (row_id)
     left join workload.entry on entry.row_id = wanted.row_id and payload = repeat(md5(wanted.row_id::text), 100)
     where entry.row_id is null order by 1`,
    [rows.map(({ row_id }) => row_id)],
  )
  return missing.map(({ row_id }) => row_id)
}

/** A tablespace in a directory of its own, removed with the scratch directories. */
export async function makeTablespace(
  postgres: SandboxPostgres,
  name: string,
): Promise<{ oid: number; location: string }> {
  const location = await scratchDir('ts')
  await postgres.query(`create tablespace "${name}" location '${location}'`)
  const [row] = await postgres.query<{ oid: number }>('select oid from pg_tablespace where spcname = $1', [name])
  return { oid: row!.oid, location }
}
