import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { restoreNoteKey } from './key-names.js'

/** The page that says how to restore with plain tools, with this as the server's name. */
const PAGE = new URL('../../docs/restore-by-hand.md', import.meta.url)
const EXAMPLE = 'db1'

/** The note in every server's folder that says how to restore with plain tools, should Postbox be gone. */
export function restoreNote(server: string): { key: string; content: Buffer } {
  const content = Buffer.from(readFileSync(PAGE, 'utf8').replaceAll(EXAMPLE, server))
  return { key: restoreNoteKey(server, createHash('sha256').update(content).digest()), content }
}
