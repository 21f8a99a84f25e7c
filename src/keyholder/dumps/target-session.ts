import pg from 'pg'
import { endClient } from '../../catalog/end-client.js'
import { sessionConfig } from '../../catalog/driver.js'
import { PostboxError } from '../../errors.js'
import type { Secret } from '../../secret.js'
import { hasLoneBytes } from '../../sql-text/lone-bytes.js'
import { runBytes } from './byte-query.js'
import { CopyIn } from './copy-in.js'
import { setsTablespace, settingOf } from './statement-filter.js'

/** What must not depend on the settings of the role or the database. */
const SETTINGS = {
  client_encoding: 'UTF8',
  client_min_messages: 'warning',
  standard_conforming_strings: 'on',
  check_function_bodies: 'off',
  row_security: 'off',
  xmloption: 'content',
  datestyle: 'ISO, MDY',
  intervalstyle: 'postgres',
  statement_timeout: '0',
  lock_timeout: '0',
  idle_in_transaction_session_timeout: '0',
  // A session waits while others work.
  idle_session_timeout: '0',
  search_path: '',
}

/** What not every server has, or can. The first: it notices that we are gone while it builds an index. */
const WISHES = { client_connection_check_interval: '1s', transaction_timeout: '0' }

/** Indexes of small tables are sorted in memory. Where somebody has set it, that is kept. */
const MORE_MEMORY = `select pg_catalog.set_config(name, '256MB', false) from pg_catalog.pg_settings
  where name = 'maintenance_work_mem' and source = 'default'`

/** Tried again: what was rolled back because others were in the way. */
const DEADLOCK = '40P01'
const UNKNOWN = '42704'
const INVALID = '22023'
const TRIES = 5

/** A connection to the database that a dump is restored into. Its errors name what was done. */
export class TargetSession {
  #inTransaction = false
  /** SET statements that are in force, by their parameter */
  readonly #settings = new Map<string, string>()

  private constructor(readonly client: pg.Client) {}

  /** Closed when `signal` is aborted. Throws `database_unavailable` or `database_refused`. */
  static async open(url: Secret, signal: AbortSignal): Promise<TargetSession> {
    signal.throwIfAborted()
    const client = new pg.Client(sessionConfig(url, 'postbox restore-dump'))
    // A lost connection is said by the next query.
    client.on('error', () => undefined)
    const close = () =>
      (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy()
    signal.addEventListener('abort', close, { once: true })
    client.once('end', () => {
      signal.removeEventListener('abort', close)
    })
    try {
      await client.connect()
      const settings = Object.entries(SETTINGS).map(
        ([name, value]) => `pg_catalog.set_config('${name}', '${value}', false)`,
      )
      await client.query(`select ${settings.join(', ')}`)
      for (const [name, value] of Object.entries(WISHES)) {
        await client.query('select pg_catalog.set_config($1, $2, false)', [name, value]).catch(notThere)
      }
      await client.query(MORE_MEMORY)
    } catch (thrown) {
      await endClient(client).catch(() => undefined)
      signal.throwIfAborted()
      throw connectionError(thrown)
    }
    return new TargetSession(client)
  }

  /** Runs those of the SET statements that are not in force yet. One of a newer pg_dump may name what there is not. */
  async settle(settings: readonly string[]): Promise<void> {
    for (const sql of settings) {
      if (this.#settings.get(settingOf(sql)) === sql) continue
      await this.run(sql, sql).catch((thrown: unknown) => {
        if (setsTablespace(sql)) throw tablespaceError(thrown)
        if (sqlstateOf(thrown) !== UNKNOWN) throw thrown
      })
      this.#settings.set(settingOf(sql), sql)
    }
  }

  /** Runs SQL; `what` names it in an error. */
  async run(sql: string, what: string): Promise<void> {
    await this.#again(async () => {
      const query = hasLoneBytes(sql) ? runBytes(this.client, sql) : this.client.query(sql)
      await query.catch((thrown: unknown) => {
        throw restoreError(what, thrown)
      })
    })
  }

  /** All of what `work` does in this session, or nothing. It may be called several times. */
  async transaction(work: () => Promise<void>): Promise<void> {
    await this.#again(async () => {
      await this.run('begin', 'the database')
      this.#inTransaction = true
      try {
        await work()
        await this.run('commit', 'the database')
      } catch (thrown) {
        // What is taken back takes its settings with it. A session that is lost has nothing to take back.
        this.#settings.clear()
        await this.client.query('rollback').catch(() => undefined)
        throw thrown
      } finally {
        this.#inTransaction = false
      }
    })
  }

  async #again(work: () => Promise<void>): Promise<void> {
    const tries = this.#inTransaction ? 1 : TRIES
    for (let attempt = 1; ; attempt += 1) {
      try {
        await work()
        return
      } catch (thrown) {
        if (sqlstateOf(thrown) !== DEADLOCK || attempt >= tries) throw thrown
      }
    }
  }

  async rows<Row extends pg.QueryResultRow>(sql: string, values: unknown[] = []): Promise<Row[]> {
    try {
      return (await this.client.query<Row>(sql, values)).rows
    } catch (thrown) {
      throw restoreError('the database', thrown)
    }
  }

  /** Sends rows to COPY … FROM STDIN, all or none. Their number, as Postgres counted them. */
  async copy(sql: string, rows: AsyncIterable<Buffer>, what: string): Promise<number> {
    try {
      return await this.client.query(new CopyIn(sql)).send(rows)
    } catch (thrown) {
      throw restoreError(what, thrown)
    }
  }

  async end(): Promise<void> {
    await endClient(this.client).catch(() => undefined)
  }
}

/** A setting that the server does not know, or cannot have. */
function notThere(thrown: unknown): void {
  if (!/^(42704|22023)$/.test(sqlstateOf(thrown) ?? '')) throw thrown
}

/** What Postgres said, also of an error that is ours by now. */
export function sqlstateOf(thrown: unknown): string | undefined {
  const said = thrown instanceof PostboxError ? thrown.cause : thrown
  return (said as { code?: string } | undefined)?.code
}

function connectionError(thrown: unknown): PostboxError {
  const { message, code } = thrown as { message: string; code?: string }
  const refused = /^(28|3D|42)/.test(code ?? '') || /SASL|SCRAM|password|SSL/i.test(message)
  const what = `the database cannot be opened: ${message === '' ? (code ?? 'no answer') : message}`
  return refused
    ? new PostboxError('database_refused', what, 'Check user, password and database name in the URL.', {
        cause: thrown,
      })
    : new PostboxError('database_unavailable', what, 'Check host and port in the URL, and that the server runs.', {
        cause: thrown,
      })
}

/** What Postgres said of `what`, with the line of a COPY. */
function restoreError(what: string, thrown: unknown): PostboxError {
  if (thrown instanceof PostboxError) return thrown
  const { message, code = '', where, detail } = thrown as pg.DatabaseError
  const line = where === undefined ? undefined : /^COPY .*, (line \d+)/s.exec(where)?.[1]
  const said = [message, ...(detail === undefined ? [] : [detail])].join(': ')
  return new PostboxError('restore_failed', `${what}${line === undefined ? '' : `, ${line}`}: ${said}`, hintFor(code), {
    cause: thrown,
  })
}

/** Of a tablespace that is not there: that of the setting is named by nothing else. */
function tablespaceError(thrown: unknown): unknown {
  if (!(thrown instanceof PostboxError) || sqlstateOf(thrown) !== INVALID) return thrown
  const hint = 'Make the tablespace first, or leave tablespaces out: --no-tablespaces.'
  return new PostboxError('restore_failed', thrown.message, hint, { cause: thrown.cause })
}

function hintFor(sqlstate: string): string {
  switch (sqlstate) {
    case '42704':
      return 'Make what is named there first, such as the role, or leave it out: --no-owner, --no-privileges, --no-tablespaces.'
    case '42501':
      return 'Restore as a superuser or the owner, or leave owners out: --no-owner, --no-privileges.'
    case '3F000':
      return 'Make the schema first: with --tables, schemas and types are not restored.'
    case '42P06':
    case '42P07':
    case '42710':
    case '42723':
      return 'It is there already: add --clean, or restore into an empty database.'
    case '2BP01':
      return 'Something that is not in the dump depends on it: drop that first.'
    case '0A000':
    case '58P01':
      return 'The server lacks something that the dump needs, such as an extension: install it and run this again.'
    default:
      return 'The database is filled in part: mend the cause and run this again with --clean, or into an empty one.'
  }
}
