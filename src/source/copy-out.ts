import { once } from 'node:events'
import type { Readable } from 'node:stream'
import pg from 'pg'
import { to } from 'pg-copy-streams'
import type { DumpTable } from './dump-session.js'

/** Pages `from` up to, and without, `to`; the last range of a table has no end. */
export interface PageRange {
  from: number
  to: number | null
}

/** Cuts a table into ranges of about `splitBytes`. Null: the whole at once. */
export function pageRanges(table: DumpTable, splitBytes: number): (PageRange | null)[] {
  const count = Math.ceil(table.bytes / splitBytes)
  if (!table.divisible || count < 2 || table.pages < count) return [null]
  const pages = Math.ceil(table.pages / count)
  return Array.from({ length: count }, (_, at) => ({
    from: at * pages,
    to: at === count - 1 ? null : (at + 1) * pages,
  }))
}

/** Rows as COPY's text format; `rowCount` is there at its end. */
export type CopyOut = Readable & { rowCount: number }

export function copyOut(client: pg.Client, table: DumpTable, range: PageRange | null): CopyOut {
  return client.query(to(copyStatement(table, range))) as unknown as CopyOut
}

function copyStatement({ sql, columns }: DumpTable, range: PageRange | null): string {
  const names = columns.map((name) => pg.escapeIdentifier(name)).join(', ')
  // A table without columns has rows all the same.
  if (range === null) return `copy ${sql} ${names === '' ? '' : `(${names})`} to stdout`
  const end = range.to === null ? '' : ` and ctid < '(${range.to},0)'::tid`
  return `copy (select ${names} from only ${sql} where ctid >= '(${range.from},0)'::tid${end}) to stdout`
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
  if (!stream.closed) await once(stream, 'close')
}
