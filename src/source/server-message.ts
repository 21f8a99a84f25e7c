/** A row of a replication command's answer: column name → bytes, null for SQL null. */
export type Row = ReadonlyMap<string, Buffer | null>

/** Column names of a RowDescription message. */
export function readColumnNames(payload: Buffer): string[] {
  const names: string[] = []
  let at = 2
  for (let column = payload.readUInt16BE(0); column > 0; column--) {
    const end = payload.indexOf(0, at)
    names.push(payload.toString('utf8', at, end))
    // Behind the name: table oid (4), column (2), type oid (4), type size (2), modifier (4), format (2).
    at = end + 1 + 18
  }
  return names
}

export function readRow(columns: readonly string[], payload: Buffer): Row {
  const row = new Map<string, Buffer | null>()
  let at = 2
  for (const column of columns) {
    const bytes = payload.readInt32BE(at)
    at += 4
    row.set(column, bytes < 0 ? null : payload.subarray(at, at + bytes))
    if (bytes > 0) at += bytes
  }
  return row
}

/** Fields of an ErrorResponse or NoticeResponse by their letter: C SQLSTATE, M message, D detail, H hint, S severity. */
export function readErrorFields(payload: Buffer): Record<string, string> {
  const fields: Record<string, string> = {}
  for (let at = 0; at < payload.length && payload[at] !== 0;) {
    const end = payload.indexOf(0, at + 1)
    fields[String.fromCharCode(payload[at]!)] = payload.toString('utf8', at + 1, end)
    at = end + 1
  }
  return fields
}

/** Text of a column, null for SQL null or when there is no such column. */
export function textOf(row: Row, column: string): string | null {
  return row.get(column)?.toString('utf8') ?? null
}
