import { afterAll } from 'vitest'
import type { Client, QueryResultRow } from 'pg'
import { installCatalog } from '../../src/catalog/install.js'
import { startPostgres, type PostgresVersion, type SandboxPostgres } from '../sandbox/postgres.js'

/** An SQL error, as pg gives it. */
export interface SqlError {
  code: string
  message: string
  hint: string | undefined
  detail: string | undefined
}

/** Members of the three roles, and one of none. */
export const people = { operator: 'olga', monitor: 'mona', worker: 'walt', nobody: 'nora' } as const

/** A server with a catalog and people. Call it in a describe: its tests share the server, which goes when they end. */
export function installedServer(version: PostgresVersion = 18): InstalledServer {
  const installed = new InstalledServer(version)
  afterAll(() => installed.remove())
  return installed
}

export class InstalledServer {
  #starting: Promise<SandboxPostgres> | null = null
  readonly #sessions = new Map<string, Promise<Client>>()

  constructor(readonly version: PostgresVersion) {}

  server(): Promise<SandboxPostgres> {
    this.#starting ??= this.#start()
    return this.#starting
  }

  /** One lasting session per user; the default is the superuser. */
  session(user = 'postgres'): Promise<Client> {
    let session = this.#sessions.get(user)
    if (!session) {
      session = this.server().then((server) => server.connect({ user }))
      this.#sessions.set(user, session)
    }
    return session
  }

  async rows<T extends QueryResultRow>(text: string, params: unknown[] = [], user?: string): Promise<T[]> {
    return (await (await this.session(user)).query<T>(text, params)).rows
  }

  /** The only column of the only row. */
  async value<T>(text: string, params: unknown[] = [], user?: string): Promise<T> {
    const rows = await this.rows<Record<string, T>>(text, params, user)
    if (rows.length !== 1) throw new Error(`${rows.length} rows from: ${text}`)
    return Object.values(rows[0]!)[0]!
  }

  /** As pg_control_system() shows it: rows of any other are of another cluster. */
  systemIdentifier(): Promise<string> {
    return this.value('select system_identifier::text from pg_control_system()')
  }

  /** The error that a statement ends in; fails when it ends in none. */
  async error(text: string, params: unknown[] = [], user?: string): Promise<SqlError> {
    try {
      await this.rows(text, params, user)
    } catch (thrown) {
      const { code, message, hint, detail } = thrown as SqlError
      return { code, message, hint, detail }
    }
    throw new Error(`no error from: ${text}`)
  }

  /** After the server was restarted. */
  async reconnect(): Promise<void> {
    for (const session of this.#sessions.values()) await session.then((client) => client.end()).catch(() => undefined)
    this.#sessions.clear()
  }

  async remove(): Promise<void> {
    await this.reconnect()
    await this.#starting?.then((server) => server.remove()).catch(() => undefined)
  }

  async #start(): Promise<SandboxPostgres> {
    const server = await startPostgres({ version: this.version })
    const client = await server.connect()
    try {
      await installCatalog(client)
      for (const [role, name] of Object.entries(people)) {
        await client.query(`create role ${name} login${role === 'nobody' ? '' : ` in role backup_${role}`}`)
      }
    } finally {
      await client.end()
    }
    return server
  }
}
