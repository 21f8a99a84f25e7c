import type { Socket } from 'node:net'
import type pg from 'pg'
import { giveBack } from '../../transform/give-back.js'

/** pg's own, as far as we need it. */
export type Connection = pg.Connection & {
  stream: Socket
  query: (text: string) => void
  sendCopyFail: (why: string) => void
}

const COPY_DATA = 0x64
const COPY_DONE = Buffer.from([0x63, 0, 0, 0, 4])
const HEADER_BYTES = 5
/** Postgres gathers a whole message before it looks at it: a small one is still in the processor's cache then. */
const MESSAGE_BYTES = 64 * 1024

/**
 * One COPY FROM STDIN on a session, for `client.query`. Buffers go to the socket as they are, each with its messages in one
 * write, and are given back once they are sent: megabytes that wait for V8's garbage collector cost more than the COPY.
 *
 * https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-COPY
 */
export class CopyIn implements pg.Submittable {
  readonly #begun = Promise.withResolvers<Connection>()
  readonly #ended = Promise.withResolvers<undefined>()
  #count = 0
  #failed = false

  constructor(readonly sql: string) {
    this.#begun.promise.catch(() => undefined)
    this.#ended.promise.catch(() => undefined)
  }

  /** Sends rows, all or none; nobody else may see these buffers. How many rows there were. */
  async send(rows: AsyncIterable<Buffer>): Promise<number> {
    const connection = await this.#begun.promise
    try {
      for await (const buffer of rows) {
        await Promise.race([write(connection.stream, buffer), this.#ended.promise])
        giveBack(buffer)
      }
    } catch (thrown) {
      if (this.#failed) throw thrown
      connection.sendCopyFail('the rows cannot be read')
      await this.#ended.promise.catch(() => undefined)
      throw thrown
    }
    connection.stream.write(COPY_DONE)
    await this.#ended.promise
    return this.#count
  }

  /** Called by pg when it is this one's turn. */
  submit(connection: pg.Connection): void {
    ;(connection as Connection).query(this.sql)
  }

  handleCopyInResponse(connection: pg.Connection): void {
    this.#begun.resolve(connection as Connection)
  }

  handleCommandComplete({ text }: { text: string }): void {
    this.#count = Number(/^COPY (\d+)$/.exec(text)?.[1] ?? 0)
  }

  handleReadyForQuery(): void {
    this.#ended.resolve(undefined)
  }

  /** Called by pg: the server refused, or the connection is gone. */
  handleError(thrown: unknown): void {
    this.#failed = true
    this.#begun.reject(thrown)
    this.#ended.reject(thrown)
  }
}

/** Resolves when the system has taken all of it. That it never will is said by pg. */
function write(socket: Socket, buffer: Buffer): Promise<void> {
  return new Promise((resolve) => {
    socket.cork()
    for (let at = 0; at < buffer.length; at += MESSAGE_BYTES) {
      const piece = buffer.subarray(at, at + MESSAGE_BYTES)
      const header = Buffer.allocUnsafe(HEADER_BYTES)
      header.writeUInt8(COPY_DATA)
      header.writeUInt32BE(piece.length + 4, 1)
      socket.write(header)
      if (at + MESSAGE_BYTES < buffer.length) socket.write(piece)
      else {
        socket.write(piece, (error) => {
          if (!error) resolve()
        })
      }
    }
    socket.uncork()
    if (buffer.length === 0) resolve()
  })
}
