import type { Socket } from 'node:net'
import pg from 'pg'
import type { DumpClient } from './dump-session.js'
import type { DumpColumn, DumpTable } from './dump-table.js'
import type { FilledFrame, Frames } from './frames.js'

/** Pages `from` up to, and without, `to`; the last range of a table has no end. */
export interface PageRange {
  from: number
  to: number | null
}

/** Cuts a table into ranges of about `splitBytes`. Null: the whole at once. */
export function pageRanges(table: DumpTable, splitBytes: number): (PageRange | null)[] {
  const count = Math.ceil(table.bytes / splitBytes)
  // Without columns there is nothing to select, only to copy whole.
  if (!table.divisible || count < 2 || table.pages < count || table.columns.length === 0) return [null]
  const pages = Math.ceil(table.pages / count)
  return Array.from({ length: count }, (_, at) => ({
    from: at * pages,
    to: at === count - 1 ? null : (at + 1) * pages,
  }))
}

type DataListener = (chunk: Buffer) => void
type Connection = pg.Connection & { query: (text: string) => void }

const COPY_DATA = 0x64
/** CopyOutResponse, NoticeResponse and ParameterStatus: they may come before rows or between them. */
const PASSED_OVER = new Set([0x48, 0x4e, 0x53])
const HEADER_BYTES = 5

/**
 * One COPY TO STDOUT on a session, for `client.query`: rows in COPY's text format, in the encoding of the database, so
 * that no conversion can fail.
 *
 * Each row is a message of its own. They are unpacked from the socket's reads right into the frames; all that comes
 * before and after them is left to pg. The socket rests while nobody waits for a frame.
 *
 * https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-COPY
 */
export class CopyOut implements pg.Submittable {
  readonly #statement: string
  readonly #completed = Promise.withResolvers<number>()
  #socket: Socket | null = null
  #listeners: DataListener[] = []
  /** the frame that somebody waits for */
  #frame: { buffer: Buffer; enough: number; filled: PromiseWithResolvers<number> } | null = null
  #filledBytes = 0
  readonly #header = Buffer.alloc(HEADER_BYTES)
  #headerFilled = 0
  /** bytes of the message under way that have not come yet */
  #left = 0
  #passingOver = false
  #ended = false
  #failure: unknown = null

  constructor(
    readonly client: DumpClient,
    table: DumpTable,
    range: PageRange | null,
    encoding: string,
  ) {
    this.#statement = copyStatement(table, range, encoding)
    this.#completed.promise.catch(() => undefined)
  }

  /** How many rows there were. Rejects when the server ended before it said so: then some may be missing. */
  get count(): Promise<number> {
    return this.#completed.promise
  }

  /** Runs the COPY; its bytes in frames, which the reader releases. Throws what pg or the server say. */
  async *frames(frames: Frames): AsyncGenerator<FilledFrame> {
    for (let bytes: number | null = null; bytes !== 0;) {
      const buffer = await frames.take()
      // What it brings needs a place at once.
      if (bytes === null) this.client.query(this)
      bytes = await this.#fill(buffer, frames.enough)
      if (bytes > 0) yield { buffer, bytes }
      else frames.release(buffer)
    }
  }

  /** Resolves to how much was filled: `enough`, and what the last read brought, or less at the end; 0 behind it. */
  #fill(buffer: Buffer, enough: number): Promise<number> {
    const filled = Promise.withResolvers<number>()
    this.#frame = { buffer, enough, filled }
    this.#filledBytes = 0
    if (this.#failure !== null) this.#failFrame()
    else if (this.#ended) this.#handOver()
    else this.#socket?.resume()
    return filled.promise
  }

  /** Called by pg when it is this one's turn. */
  submit(connection: pg.Connection): void {
    const socket = connection.stream as Socket
    this.#socket = socket
    this.#listeners = socket.listeners('data') as DataListener[]
    socket.removeAllListeners('data')
    this.client.receive.onRead = this.#read
    socket.on('data', this.#read)
    ;(connection as Connection).query(this.#statement)
  }

  readonly #read = (chunk: Buffer): void => {
    let at = 0
    while (at < chunk.length && !this.#ended)
      at = this.#left > 0 ? this.#readBody(chunk, at) : this.#readRows(chunk, at)
    if (this.#frame && (this.#ended || this.#filledBytes >= this.#frame.enough)) this.#handOver()
    if (!this.#frame && !this.#ended) this.#socket!.pause()
  }

  /** Whole rows, as long as they come; then the header of what has not come whole. */
  #readRows(chunk: Buffer, from: number): number {
    let at = from
    if (this.#headerFilled === 0) {
      const { buffer } = this.#frame!
      let filled = this.#filledBytes
      // The loop that every row goes through.
      while (at + HEADER_BYTES <= chunk.length && chunk[at] === COPY_DATA) {
        const bytes = ((chunk[at + 1]! << 24) | (chunk[at + 2]! << 16) | (chunk[at + 3]! << 8) | chunk[at + 4]!) - 4
        const end = at + HEADER_BYTES + bytes
        if (end > chunk.length) break
        filled += chunk.copy(buffer, filled, at + HEADER_BYTES, end)
        at = end
      }
      this.#filledBytes = filled
    }
    return this.#readHeader(chunk, at)
  }

  #readHeader(chunk: Buffer, at: number): number {
    const end = at + chunk.copy(this.#header, this.#headerFilled, at, at + HEADER_BYTES - this.#headerFilled)
    this.#headerFilled += end - at
    if (this.#headerFilled < HEADER_BYTES) return end
    this.#headerFilled = 0
    const type = this.#header[0]!
    this.#passingOver = PASSED_OVER.has(type)
    if (type !== COPY_DATA && !this.#passingOver) this.#leave(Buffer.concat([this.#header, chunk.subarray(end)]))
    else this.#left = this.#header.readUInt32BE(1) - 4
    return end
  }

  #readBody(chunk: Buffer, at: number): number {
    const end = Math.min(at + this.#left, chunk.length)
    if (!this.#passingOver) this.#filledBytes += chunk.copy(this.#frame!.buffer, this.#filledBytes, at, end)
    this.#left -= end - at
    return end
  }

  /** Gives the session back to pg, with what it has not seen yet. */
  #leave(rest: Buffer): void {
    this.#ended = true
    const socket = this.#socket!
    socket.removeListener('data', this.#read)
    this.client.receive.onRead = null
    for (const listener of this.#listeners) socket.on('data', listener)
    for (const listener of this.#listeners) listener(rest)
    socket.resume()
  }

  #handOver(): void {
    const { filled } = this.#frame!
    this.#frame = null
    filled.resolve(this.#filledBytes)
  }

  #failFrame(): void {
    this.#frame?.filled.reject(this.#failure)
    this.#frame = null
  }

  /** Called by pg: the server refused, or the connection is gone. */
  handleError(thrown: unknown): void {
    this.#failure ??= thrown
    this.#ended = true
    this.#completed.reject(thrown)
    this.#failFrame()
  }

  handleCommandComplete({ text }: { text: string }): void {
    this.#completed.resolve(Number(/^COPY (\d+)$/.exec(text)![1]))
  }

  handleReadyForQuery(): void {
    this.#completed.reject(new Error('the server did not say how many rows there were'))
  }
}

function copyStatement({ name, sql, columns, where }: DumpTable, range: PageRange | null, encoding: string): string {
  const ending = `to stdout with (encoding ${pg.escapeLiteral(encoding)})`
  // As most of the expressions call it.
  const alias = pg.escapeIdentifier(where?.origin ?? columns.find(({ mask }) => mask)?.mask?.origin ?? name)
  const conditions = [
    ...(where === null ? [] : [`((${where.sql})::boolean)`]),
    ...(range === null ? [] : [`ctid >= '(${range.from},0)'::tid`]),
    ...(range?.to == null ? [] : [`ctid < '(${range.to},0)'::tid`]),
  ]
  const names = columns.map((column) => pg.escapeIdentifier(column.name)).join(', ')
  if (conditions.length === 0 && columns.every(({ mask }) => mask === null)) {
    // A table without columns has rows all the same.
    return `copy ${sql} ${names === '' ? '' : `(${names})`} ${ending}`
  }
  const condition = conditions.length === 0 ? '' : ` where ${conditions.join(' and ')}`
  const values = columns.map((column) => valueOf(column, alias)).join(', ')
  return `copy (select ${values} from only ${sql} as ${alias}${condition}) ${ending}`
}

function valueOf({ name, type, mask }: DumpColumn, alias: string): string {
  const column = pg.escapeIdentifier(name)
  if (mask === null) return `${alias}.${column}`
  const origin = pg.escapeIdentifier(mask.origin)
  // What inherits from several tables may be called otherwise by each.
  const value = origin === alias ? `(${mask.sql})` : `(select (${mask.sql}) from (select ${alias}.*) as ${origin})`
  return `${value}::${type} as ${column}`
}
