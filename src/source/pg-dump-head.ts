import type { Readable } from 'node:stream'
import { scriptPieces } from '../sql-text/script.js'

const OF_DATABASE = /^Name: .*; Type: DATABASE( PROPERTIES)?$|^Name: DATABASE .*; Type: (COMMENT|ACL|SECURITY LABEL)$/

/** Of what pg_dump --create prints: the statements that make the database itself, and no more is read. */
export async function databaseStatements(text: Readable): Promise<Buffer> {
  const statements: string[] = []
  let entry: string | null = null
  let connected = false
  for await (const piece of scriptPieces(text)) {
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
  return joined(statements)
}

/** Of what pg_dump --clean prints: the statements that drop things, which come first, and no more is read. */
export async function dropStatements(text: Readable): Promise<Buffer> {
  const statements: string[] = []
  for await (const piece of scriptPieces(text)) {
    if (piece.kind !== 'statement') continue
    if (piece.before.includes('-- Name: ')) break
    statements.push(piece.sql)
  }
  return joined(statements)
}

const joined = (statements: string[]): Buffer => Buffer.from(statements.map((sql) => `${sql};\n`).join(''))
