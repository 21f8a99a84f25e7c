import type { Logger } from 'pino'
import type { Catalog } from '../catalog/catalog.js'
import { openServerState, type ServerState } from '../catalog/server-state.js'
import { asPostboxError, PostboxError, type ErrorCode } from '../errors.js'
import type { Secret } from '../secret.js'
import { ReplicationConnection } from '../source/replication-connection.js'
import { identifyServer, type ServerIdentity } from '../source/server-identity.js'

/** A connection to the source, and which server that is. */
export interface OpenedSource {
  connection: ReplicationConnection
  server: ServerIdentity
}

/** A server that does not answer, or that goes ways of its own. */
const PASSED_OVER: readonly ErrorCode[] = ['database_unavailable', 'replication_failed']

/**
 * The server that WAL and base backups are read from: the one that holds the catalog, or a standby of it.
 *
 * Of several, the one in use is kept until it does not answer, or goes ways of its own.
 */
export class Source {
  #at = 0

  /** @param urls none: the server that holds the catalog */
  constructor(
    readonly catalog: Catalog,
    readonly databaseUrl: Secret,
    readonly urls: readonly Secret[],
    readonly log: Logger,
  ) {}

  /** Address of the one in use. */
  get url(): Secret {
    return this.urls[this.#at] ?? this.databaseUrl
  }

  /** The addresses, that of the one in use first. */
  get inOrder(): Secret[] {
    return [...this.urls.slice(this.#at), ...this.urls.slice(0, this.#at)]
  }

  /**
   * Looks at it before anything is read from it. Throws `config_invalid`: no waiting mends an address of another system.
   * Whatever else is wrong may pass, and is said by whoever reads.
   */
  async checkBegin(signal: AbortSignal): Promise<void> {
    if (this.urls.length === 0) return
    try {
      const { connection } = await this.open('postbox probe', signal)
      connection.close()
    } catch (thrown) {
      const error = asPostboxError(thrown)
      if (error.code === 'config_invalid') throw error
    }
  }

  /** Connects to it; the caller closes, or \`signal\`. Throws as ReplicationConnection.open() and identify() do. */
  async open(applicationName: string, signal: AbortSignal): Promise<OpenedSource> {
    if (this.urls.length === 0) return this.#openAt(this.databaseUrl, applicationName, signal)
    const errors: PostboxError[] = []
    for (let tries = 0; tries < this.urls.length; tries++) {
      const at = (this.#at + tries) % this.urls.length
      try {
        const opened = await this.#openAt(this.urls[at]!, applicationName, signal)
        this.#passOver(at, errors, opened.connection)
        return opened
      } catch (thrown) {
        signal.throwIfAborted()
        const error = asPostboxError(thrown)
        // A mistake in the set-up, or a server that is only full: the slot must not move for that.
        if (!PASSED_OVER.includes(error.code)) throw error
        errors.push(error)
      }
    }
    // That a server is away says less than what is wrong with one that is there.
    throw errors.find(({ code }) => code !== 'database_unavailable') ?? errors[0]!
  }

  /** Which server it is now. Throws when its WAL is none of ours; a promotion changes that while it is connected. */
  async identify(connection: ReplicationConnection): Promise<ServerIdentity> {
    const server = await identifyServer(connection)
    await this.#check(server)
    return server
  }

  /**
   * Throws when what this server writes is not what the catalog describes: `config_invalid` for another system, and
   * `replication_failed` when one of the two was promoted without the other.
   */
  async #check({ systemIdentifier, timeline, inRecovery }: ServerIdentity): Promise<void> {
    const known = await this.catalog.walIdentity()
    if (systemIdentifier !== known.system_identifier) {
      throw new PostboxError(
        'config_invalid',
        `the source is of another system, ${systemIdentifier}, than the database, ${known.system_identifier}`,
        'POSTBOX_SOURCE_URL may name standbys of the server in POSTBOX_DATABASE_URL, and that server itself.',
      )
    }
    if (known.timeline !== null && (inRecovery ? timeline <= known.timeline : timeline === known.timeline)) return
    const what =
      known.timeline === null
        ? 'the server that holds the catalog became a standby'
        : `the source is on timeline ${timeline} and the server that holds the catalog on ${known.timeline}`
    throw new PostboxError(
      'replication_failed',
      `${what}: one of them was promoted, and the other does not follow it`,
      'POSTBOX_DATABASE_URL must lead to the primary, POSTBOX_SOURCE_URL to a standby of it; then Postbox goes on.',
    )
  }

  /** Asks the one in use about itself, in SQL. */
  async ask<T>(question: (server: ServerState) => Promise<T>): Promise<T> {
    if (this.urls.length === 0) return question(this.catalog.server)
    await using server = await openServerState(this.url)
    return await question(server)
  }

  #passOver(at: number, errors: readonly PostboxError[], { address }: ReplicationConnection): void {
    this.#at = at
    for (const err of errors) this.log.warn({ err, source: address }, 'a source is passed over for the next one')
  }

  async #openAt(url: Secret, applicationName: string, signal: AbortSignal): Promise<OpenedSource> {
    const connection = await ReplicationConnection.open(url, applicationName, signal)
    try {
      return { connection, server: await this.identify(connection) }
    } catch (thrown) {
      connection.close()
      throw thrown
    }
  }
}
