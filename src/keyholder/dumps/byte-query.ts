import pg from 'pg'
import { bytesOf } from '../../sql-text/lone-bytes.js'
import type { Connection } from './copy-in.js'

const QUERY = 0x51

/** A query whose text holds bytes that are no UTF-8, for a session without an encoding: pg itself would send UTF-8. */
class ByteQuery extends pg.Query {
  constructor(readonly sql: string) {
    super(sql)
  }

  override submit = (connection: pg.Connection): void => {
    const text = bytesOf(this.sql)
    const head = Buffer.alloc(5)
    head.writeUInt8(QUERY)
    head.writeUInt32BE(4 + text.length + 1, 1)
    ;(connection as Connection).stream.write(Buffer.concat([head, text, Buffer.of(0)]))
  }
}

/** Runs it, and drops its rows. */
export function runBytes(client: pg.Client, sql: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const query = client.query(new ByteQuery(sql))
    query.on('end', () => {
      resolve()
    })
    query.on('error', reject)
  })
}
