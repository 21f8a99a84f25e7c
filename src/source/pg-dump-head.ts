import type { Readable } from 'node:stream'
import { isRefresh } from '../sql-text/refresh.js'
import { scriptPieces } from '../sql-text/script.js'

const OF_DATABASE = /^Name: .*; Type: DATABASE( PROPERTIES)?$|^Name: DATABASE .*; Type: (COMMENT|ACL|SECURITY LABEL)$/

/** Of what pg_dump --create prints: the statements that make the database itself, and no more is read. */
export async function databaseStatements(text: Readable, encoding: string): Promise<Buffer> {
  const statements: string[] = []
  let entry: string | null = null
  let connected = false
  for await (const piece of scriptPieces(asUtf8(text, encoding))) {
    if (piece.kind === 'meta') {
      connected ||= piece.command.startsWith('\\connect')
      entry = null
    } else if (piece.kind === 'statement') {
      entry = /-- (Name: .*; Type: [^;]*);/.exec(piece.before)?.[1] ?? entry
      const isItself = entry !== null && OF_DATABASE.test(entry)
      if (connected && entry !== null && !isItself) break
      if (!connected || isItself) statements.push(piece.sql)
    }
  }
  return joined(statements, encoding)
}

/** Of what pg_dump --clean prints: the statements that drop things, which come first, and no more is read. */
export async function dropStatements(text: Readable, encoding: string): Promise<Buffer> {
  const statements: string[] = []
  for await (const piece of scriptPieces(asUtf8(text, encoding))) {
    if (piece.kind !== 'statement') continue
    if (piece.before.includes('-- Name: ')) break
    statements.push(piece.sql)
  }
  return joined(statements, encoding)
}

/** Of pg_dump's section post-data: what fills materialized views, which is contents too. Empty when there are none. */
export async function refreshStatements(text: Readable, encoding: string): Promise<Buffer> {
  const statements: string[] = []
  let isHead = true
  let isFilled = false
  for await (const piece of scriptPieces(asUtf8(text, encoding))) {
    if (piece.kind !== 'statement') continue
    isHead &&= !piece.before.includes('-- Name: ')
    const fills = isRefresh(piece.sql)
    isFilled ||= fills
    if (fills || isHead) statements.push(piece.sql)
  }
  return joined(isFilled ? statements : [], encoding)
}

/** What has no encoding is read with a character for each byte. */
export async function* asUtf8(text: AsyncIterable<Buffer>, encoding: string): AsyncGenerator<Buffer> {
  for await (const chunk of text) yield encoding === 'SQL_ASCII' ? Buffer.from(chunk.toString('latin1')) : chunk
}

/** The way back. */
export const fromUtf8 = (text: string, encoding: string): Buffer =>
  Buffer.from(text, encoding === 'SQL_ASCII' ? 'latin1' : 'utf8')

function joined(statements: string[], encoding: string): Buffer {
  return fromUtf8(statements.map((sql) => `${sql};\n`).join(''), encoding)
}
