import type { Socket } from 'node:net'
import pg from 'pg'
import { asPostboxError, PostboxError } from '../errors.js'
import type { Secret } from '../secret.js'
import { MessageReader, type CopyHandler } from './message-reader.js'
import { ReceiveSocket } from './receive-socket.js'
import { replicationError } from './replication-error.js'
import { readColumnNames, readErrorFields, readRow, type Row } from './server-message.js'

export interface Copy extends CopyHandler {
  /** The server begins to send; `rows` are what it answered before. */
  begin(rows: readonly Row[]): void
}

/** A server that lives answers what copies nothing out in less. */
export const ANSWERED_WITHIN_MS = 60_000

interface Exchange {
  what: string
  rows: Row[]
  columns: string[]
  copy: Copy | null
  error: PostboxError | null
  resolve: (rows: Row[]) => void
  reject: (error: PostboxError) => void
}

/**
 * One connection in physical replication mode, one command at a time.
 *
 * pg connects and authenticates; from then on this class reads the socket itself, because pg gathers and copies each
 * CopyData message and has no place for result sets before and after a copy.
 *
 * https://www.postgresql.org/docs/current/protocol-replication.html
 */
export class ReplicationConnection {
  readonly #client: pg.Client
  readonly #socket: Socket
  readonly #reader: MessageReader
  #exchange: Exchange | null = null
  #ended: PostboxError | null = null
  readonly #onAbort = (): void => {
    this.close()
  }

  private constructor(
    client: pg.Client,
    receive: ReceiveSocket,
    readonly signal: AbortSignal | null,
  ) {
    this.#client = client
    const socket = socketOf(client)
    this.#socket = socket
    this.#reader = new MessageReader((type, payload) => {
      this.#onMessage(type, payload)
    })
    // pg's parser is idle between commands, so nothing of a message is lost to it.
    socket.removeAllListeners('data')
    receive.onRead = (chunk) => {
      this.#read(chunk)
    }
    socket.on('data', receive.onRead)
    client.on('error', (cause) => {
      this.#end(replicationError(this.#exchange?.what ?? 'the replication connection', cause))
    })
    client.on('end', () => {
      const what = this.#exchange?.what ?? 'the replication connection'
      this.#end(replicationError(what, { message: 'the server closed the connection' }))
    })
    signal?.addEventListener('abort', this.#onAbort, { once: true })
    if (signal?.aborted) this.close()
  }

  /**
   * Connects as the worker, with replication rights. The caller closes; `signal` does so too, and is thrown when that is
   * before it is open.
   */
  static async open(
    databaseUrl: Secret,
    applicationName: string,
    signal: AbortSignal | null = null,
  ): Promise<ReplicationConnection> {
    signal?.throwIfAborted()
    const receive = new ReceiveSocket()
    const config = {
      connectionString: databaseUrl.reveal(),
      application_name: applicationName,
      stream: (options: { ssl?: unknown } = {}) => receive.open(options),
      // Physical replication; the type of pg's options does not know it.
      replication: 'true',
      keepAlive: true,
      connectionTimeoutMillis: 15_000,
    }
    const client = new pg.Client(config)
    // Until the constructor listens, an error would end the process.
    const ignore = () => undefined
    client.on('error', ignore)
    const hangUp = () => {
      socketOf(client).destroy(new Error('the connection is not wanted any more'))
    }
    signal?.addEventListener('abort', hangUp, { once: true })
    try {
      await client.connect()
    } catch (cause) {
      await client.end().catch(ignore)
      signal?.throwIfAborted()
      throw connectError(cause)
    } finally {
      signal?.removeEventListener('abort', hangUp)
    }
    return new ReplicationConnection(client, receive, signal)
  }

  /** The server's, as host:port. */
  get address(): string {
    return `${this.#client.host}:${this.#client.port}`
  }

  /** The server's process, as pg_stat_activity names it. */
  get pid(): number {
    return (this.#client as unknown as { processID: number }).processID
  }

  /**
   * Runs one replication command. `copy` receives what it copies out; resolves to all rows of all its results.
   *
   * The connection is closed when that takes longer than `withinMs`; how long a copy takes is for its reader to say.
   */
  run(command: string, copy: Copy | null = null, withinMs = copy ? null : ANSWERED_WITHIN_MS): Promise<Row[]> {
    const what = command.split(/[ (]/, 1)[0]!
    if (this.#ended) return Promise.reject(this.#ended)
    if (this.#exchange) throw new PostboxError('internal', `${what} was begun before ${this.#exchange.what} ended`, '')
    const { promise, resolve, reject } = Promise.withResolvers<Row[]>()
    this.#exchange = { what, rows: [], columns: [], copy, error: null, resolve, reject }
    this.#send('Q', Buffer.from(`${command}\0`))
    if (withinMs === null) return promise
    const limit = setTimeout(() => {
      this.close(unanswered(what, withinMs))
    }, withinMs)
    return promise.finally(() => {
      clearTimeout(limit)
    })
  }

  /** Sends one CopyData message on a copy that goes both ways. */
  sendCopyData(payload: Buffer): void {
    if (!this.#ended) this.#send('d', payload)
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  /** Ends the connection at once; a command still running is rejected, with `reason`, and the server gives it up. */
  close(reason?: PostboxError): void {
    const hint = 'It was no longer needed.'
    this.#end(reason ?? new PostboxError('replication_failed', 'the replication connection was closed', hint))
    this.#socket.destroy()
    this.#client.end().catch(() => undefined)
  }

  #read(chunk: Buffer): void {
    try {
      this.#reader.read(chunk)
    } catch (thrown) {
      this.#end(asPostboxError(thrown))
      this.#socket.destroy()
    }
  }

  #send(type: string, payload: Buffer): void {
    const message = Buffer.allocUnsafe(5 + payload.length)
    message.write(type, 0, 'latin1')
    message.writeUInt32BE(4 + payload.length, 1)
    payload.copy(message, 5)
    this.#socket.write(message)
  }

  #onMessage(type: string, payload: Buffer): void {
    const exchange = this.#exchange
    if (!exchange) return
    switch (type) {
      case 'T':
        exchange.columns = readColumnNames(payload)
        return
      case 'D':
        exchange.rows.push(readRow(exchange.columns, payload))
        return
      case 'H':
      case 'W':
        if (!exchange.copy) return
        this.#reader.copyHandler = exchange.copy
        exchange.copy.begin(exchange.rows)
        return
      case 'c':
        this.#reader.copyHandler = null
        // Only a two-way copy waits for our CopyDone; in a one-way copy the server ignores it.
        if (exchange.what === 'START_REPLICATION') this.#send('c', Buffer.alloc(0))
        return
      case 'E':
        exchange.error ??= replicationError(exchange.what, serverComplaint(payload))
        this.#reader.copyHandler = null
        return
      case 'Z':
        this.#exchange = null
        if (exchange.error) exchange.reject(exchange.error)
        else exchange.resolve(exchange.rows)
    }
  }

  #end(error: PostboxError): void {
    this.signal?.removeEventListener('abort', this.#onAbort)
    this.#ended ??= error
    const exchange = this.#exchange
    this.#exchange = null
    this.#reader.copyHandler = null
    exchange?.reject(exchange.error ?? error)
  }
}

/** The socket of a pg client, which its types do not know; another one once TLS has begun. */
const socketOf = (client: pg.Client): Socket =>
  (client as unknown as { connection: { stream: Socket } }).connection.stream

function unanswered(what: string, withinMs: number): PostboxError {
  const hint = 'The server hangs, or the way to it does; Postbox connects again.'
  return new PostboxError('replication_failed', `the server did not answer ${what} within ${withinMs / 1000} s`, hint)
}

function serverComplaint(payload: Buffer): Parameters<typeof replicationError>[1] {
  const fields = readErrorFields(payload)
  return { code: fields['C'], message: fields['M'], detail: fields['D'], hint: fields['H'] }
}

function connectError(cause: unknown): PostboxError {
  const code = (cause as { code?: string }).code ?? ''
  if (/^(E[A-Z]+|EAI_.*)$/.test(code) || code === '') {
    const message = cause instanceof Error && cause.message !== '' ? cause.message : code
    return new PostboxError(
      'database_unavailable',
      `the database does not answer: ${message}`,
      'Check that Postgres runs where POSTBOX_SOURCE_URL says, or POSTBOX_DATABASE_URL when that is not set.',
      { cause },
    )
  }
  return replicationError('the replication connection', cause)
}
