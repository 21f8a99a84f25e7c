import { scriptPieces } from '../sql-text/script.js'
import { tokensIn, tokensOf } from '../sql-text/tokens.js'
import { asUtf8, fromUtf8 } from './pg-dump-head.js'

/** What was left out of the definitions of a masked dump, because passwords stand there and no mask reaches it. */
export class LeftOut {
  userMappings = 0
  /** of databases and roles */
  settings = 0
  /** whose options were left out; as SQL has their names */
  readonly servers: string[] = []

  /** For the manifest, a sentence each. */
  get warnings(): string[] {
    return [
      ...(this.userMappings > 0 ? [`masked: ${this.userMappings} user mappings were left out`] : []),
      ...(this.servers.length > 0 ? [`masked: the options of ${this.servers.join(', ')} were left out`] : []),
      ...(this.settings > 0 ? [`masked: ${this.settings} settings of the database and its roles were left out`] : []),
    ]
  }
}

/**
 * Definitions as pg_dump prints them, without passwords; notes in `left` what is missing.
 *
 * `ended`: of pg_dump; that it failed is why its text cannot be read.
 */
export async function* maskedScript(
  text: AsyncIterable<Buffer>,
  encoding: string,
  left: LeftOut,
  ended: Promise<unknown>,
): AsyncGenerator<Buffer> {
  try {
    for await (const piece of scriptPieces(asUtf8(text, encoding))) {
      if (piece.kind === 'meta') yield fromUtf8(`${piece.command}\n`, encoding)
      if (piece.kind !== 'statement') continue
      const sql = withoutSecrets(piece.sql, left)
      if (sql !== null) yield fromUtf8(`${piece.before}\n${sql};\n\n`, encoding)
    }
  } catch (thrown) {
    await ended
    throw thrown
  }
}

/** Null when nothing of the statement is left. */
function withoutSecrets(sql: string, left: LeftOut): string | null {
  const tokens = [...tokensOf(sql)]
  const words = tokens.map((token) => token.toLowerCase())
  const begins = (...start: string[]) => start.every((word, at) => words[at] === word)
  if (begins('create', 'user', 'mapping')) {
    left.userMappings += 1
    return null
  }
  if (words[0] === 'alter' && ['database', 'role', 'user'].includes(words[1]!) && words.includes('set')) {
    left.settings += 1
    return null
  }
  if (!begins('create', 'server') && !begins('create', 'foreign', 'data', 'wrapper')) return sql
  const places = [...tokensIn(sql)]
  const options = words.findLastIndex((word, at) => word === 'options' && words[at + 1] === '(')
  if (options < 0) return sql
  left.servers.push(begins('create', 'server') ? `server ${tokens[2]!}` : `foreign data wrapper ${tokens[4]!}`)
  return sql.slice(0, places[options]!.start).trimEnd()
}
