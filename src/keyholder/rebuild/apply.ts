import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import pg from 'pg'
import { from as copyFrom } from 'pg-copy-streams'
import { catalogError } from '../../catalog/catalog-error.js'
import { sessionConfig } from '../../catalog/driver.js'
import { endClient } from '../../catalog/end-client.js'
import type { Secret } from '../../secret.js'
import type { ScriptPiece } from './rebuild.js'

/** What the catalog says that it has added or taken away. */
export interface RebuiltRows {
  what: string
  rows: number
}

/** A connection to the database whose catalog is filled again, as the owner of the schema. Whoever opened it ends it. */
export class RebuildSession {
  private constructor(readonly client: pg.Client) {}

  /** @param warn told of what the catalog warns of. Throws as catalogError() says */
  static async open(databaseUrl: Secret, warn: (text: string) => void): Promise<RebuildSession> {
    const client = new pg.Client(sessionConfig(databaseUrl, 'postbox rebuild-catalog'))
    // A lost connection is said by the next query.
    client.on('error', () => undefined)
    client.on('notice', ({ severity, message }) => {
      if (severity === 'WARNING') warn(message ?? '')
    })
    try {
      await client.connect()
      return new RebuildSession(client)
    } catch (thrown) {
      throw catalogError(thrown)
    }
  }

  /** In decimal. */
  async systemIdentifier(): Promise<string> {
    const { rows } = await this.client.query<{ system: string }>(
      'select system_identifier::text as system from pg_control_system()',
    )
    return BigInt.asUintN(64, BigInt(rows[0]!.system)).toString()
  }

  /** All of the script, or nothing. */
  async run(script: AsyncIterable<ScriptPiece>): Promise<RebuiltRows[]> {
    let last: { rows: { what: string; rows: string }[] } = { rows: [] }
    try {
      for await (const piece of script) {
        if (piece.kind === 'copy') {
          await pipeline(Readable.from(piece.rows, { objectMode: false }), this.client.query(copyFrom(piece.sql)))
        } else {
          // Of several statements pg gives an array.
          const result = (await this.client.query(piece.sql)) as unknown as typeof last | (typeof last)[]
          last = Array.isArray(result) ? result.at(-1)! : result
        }
      }
      await this.client.query('commit')
    } catch (thrown) {
      await this.client.query('rollback').catch(() => undefined)
      throw catalogError(thrown)
    }
    return last.rows.map(({ what, rows }) => ({ what, rows: Number(rows) }))
  }

  async end(): Promise<void> {
    await endClient(this.client).catch(() => undefined)
  }
}
