import type { Readable } from 'node:stream'
import pg from 'pg'
import { to } from 'pg-copy-streams'
import type { DumpColumn, DumpTable } from './dump-table.js'

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

/** What pg-copy-streams makes, with the callback of pg that says how it ended. */
type CopyQuery = Readable & { handleCommandComplete: (message: { text: string }) => void }

/** Rows as COPY's text format, in the encoding of the database: no conversion can fail. */
export class CopyOut {
  readonly rows: Readable
  readonly #completed = Promise.withResolvers<number>()

  constructor(client: pg.Client, table: DumpTable, range: PageRange | null, encoding: string) {
    const copy = to(copyStatement(table, range, encoding)) as unknown as CopyQuery
    // The stream ends with the last row, before the server has said that this was the last one.
    copy.handleCommandComplete = ({ text }) => {
      this.#completed.resolve(Number(/^COPY (\d+)$/.exec(text)![1]))
    }
    copy.on('error', this.#completed.reject)
    this.#completed.promise.catch(() => undefined)
    this.rows = client.query(copy as never) as unknown as Readable
  }

  /** How many there were. Rejects when the server ended before it said so: then some may be missing. */
  get count(): Promise<number> {
    return this.#completed.promise
  }
}

function copyStatement({ sql, columns, where }: DumpTable, range: PageRange | null, encoding: string): string {
  const ending = `to stdout with (encoding ${pg.escapeLiteral(encoding)})`
  const conditions = [
    ...(where === null ? [] : [`((${where})::boolean)`]),
    ...(range === null ? [] : [`ctid >= '(${range.from},0)'::tid`]),
    ...(range?.to == null ? [] : [`ctid < '(${range.to},0)'::tid`]),
  ]
  const names = columns.map(({ name }) => pg.escapeIdentifier(name)).join(', ')
  if (conditions.length === 0 && columns.every(({ mask }) => mask === null)) {
    // A table without columns has rows all the same.
    return `copy ${sql} ${names === '' ? '' : `(${names})`} ${ending}`
  }
  const condition = conditions.length === 0 ? '' : ` where ${conditions.join(' and ')}`
  return `copy (select ${columns.map(valueOf).join(', ')} from only ${sql}${condition}) ${ending}`
}

function valueOf({ name, type, mask }: DumpColumn): string {
  return mask === null ? pg.escapeIdentifier(name) : `(${mask})::${type} as ${pg.escapeIdentifier(name)}`
}

/** Bytes of a stream as buffers of `frameBytes`, the last one shorter; each is the reader's own. */
export async function* cutFrames(stream: Readable, frameBytes: number): AsyncGenerator<Buffer> {
  let frame = Buffer.allocUnsafeSlow(frameBytes)
  let filled = 0
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    for (let at = 0; at < chunk.length;) {
      const copied = chunk.copy(frame, filled, at)
      at += copied
      filled += copied
      if (filled < frameBytes) continue
      yield frame
      frame = Buffer.allocUnsafeSlow(frameBytes)
      filled = 0
    }
  }
  if (filled > 0) yield frame.subarray(0, filled)
}
