import type { ScriptPiece } from '../../sql-text/script.js'
import { entryOf, firstLine } from './definitions.js'
import { isSetting } from './statement-filter.js'
import type { TargetSession } from './target-session.js'

/**
 * Runs the section `data`: values of sequences, large objects, and rows of tables that extensions own.
 *
 * `wanted`: which statements; settings of the session are run in any case.
 */
export async function runContents(
  session: TargetSession,
  pieces: AsyncGenerator<ScriptPiece>,
  wanted: (sql: string) => boolean,
): Promise<void> {
  let entry = ''
  for (let next = await pieces.next(); !next.done; next = await pieces.next()) {
    const piece = next.value
    if (piece.kind === 'statement') {
      entry = entryOf(piece.before) ?? entry
      const what = entry === '' ? firstLine(piece.sql) : entry
      if (isSetting(piece.sql)) await session.settle([piece.sql])
      else if (wanted(piece.sql)) await session.run(piece.sql, what)
    } else if (piece.kind === 'copy') {
      const rows = rowsOf(pieces)
      if (wanted(piece.sql)) await session.copy(piece.sql, rows, firstLine(piece.sql))
      else for await (const row of rows) void row
    }
  }
}

/** Up to their end, and no further. */
async function* rowsOf(pieces: AsyncGenerator<ScriptPiece>): AsyncGenerator<Buffer> {
  for (let next = await pieces.next(); !next.done; next = await pieces.next()) {
    if (next.value.kind !== 'rows') return
    yield next.value.rows
  }
}
