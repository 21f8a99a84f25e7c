import { once } from 'node:events'
import type { Writable } from 'node:stream'
import { PSQL_SETTINGS } from '../../catalog/rebuild-script.js'
import type { ScriptPiece } from './rebuild.js'

/** Text that is written at once. */
const CHUNK_CHARS = 64 * 1024

/** Writes the script for psql, as fast as that takes it. Its last word is the commit: a script that breaks off does nothing. */
export async function printScript(script: AsyncIterable<ScriptPiece>, to: Writable): Promise<void> {
  let text = PSQL_SETTINGS
  const add = async (more: string) => {
    text += more
    if (text.length < CHUNK_CHARS) return
    const chunk = text
    text = ''
    if (!to.write(chunk)) await once(to, 'drain')
  }
  for await (const piece of script) {
    if (piece.kind === 'sql') {
      await add(piece.sql)
      continue
    }
    await add(`${piece.sql};\n`)
    for await (const row of piece.rows) await add(row)
    await add('\\.\n')
  }
  to.write(`${text}commit;\n`)
}
