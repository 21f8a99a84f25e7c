import type { Archive } from '../archive.js'
import type { LocatedPart } from '../fetch-parts.js'
import { unpackParts } from '../unpack-parts.js'
import { scriptPieces, type ScriptPiece } from '../../sql-text/script.js'

export interface Definition {
  sql: string
  /** such as `TABLE public.orders`, for messages */
  what: string
}

/** Pieces of a section of a dump, in order. */
export async function* piecesOf(archive: Archive, parts: readonly LocatedPart[]): AsyncGenerator<ScriptPiece> {
  yield* scriptPieces(textOf(archive, parts))
}

/** All statements of a section that holds no rows. */
export async function definitionsOf(archive: Archive, parts: readonly LocatedPart[]): Promise<Definition[]> {
  const definitions: Definition[] = []
  let entry = ''
  for await (const piece of piecesOf(archive, parts)) {
    if (piece.kind !== 'statement') continue
    entry = entryOf(piece.before) ?? entry
    definitions.push({ sql: piece.sql, what: entry === '' ? firstLine(piece.sql) : entry })
  }
  return definitions
}

async function* textOf(archive: Archive, parts: readonly LocatedPart[]): AsyncGenerator<Buffer> {
  for await (const { raw } of unpackParts(archive, parts, { fetches: 2 })) if (raw) yield raw
}

/** What pg_dump's comment in front of a statement names; null when there is none. */
export function entryOf(before: string): string | null {
  const entry = /-- (?:Data for )?Name: (.*); Type: ([^;]*); Schema: ([^;]*);/.exec(before)
  if (!entry) return null
  const [, name, type, schema] = entry
  return `${type!} ${schema === '-' ? '' : `${schema!}.`}${name!}`
}

export const firstLine = (sql: string): string => sql.split('\n', 1)[0]!.slice(0, 80)
