import type { Archive } from '../archive.js'
import type { LocatedPart } from '../fetch-parts.js'
import { unpackParts } from '../unpack-parts.js'
import { scriptPieces, type ScriptPiece } from '../../sql-text/script.js'
import { withLoneBytes } from '../../sql-text/lone-bytes.js'
import { isSetting, settingOf } from './statement-filter.js'

export interface Definition {
  sql: string
  /** such as `TABLE public.orders`, for messages */
  what: string
  /** SET statements that pg_dump printed before it, the last of each parameter, such as of its tablespace */
  settings?: readonly string[]
}

/** Pieces of a section of a dump, in order. `encoding`: of the dump. */
export async function* piecesOf(
  archive: Archive,
  parts: readonly LocatedPart[],
  encoding: string,
): AsyncGenerator<ScriptPiece> {
  yield* scriptPieces(textOf(archive, parts), encoding === 'SQL_ASCII' ? withLoneBytes : undefined)
}

/** All statements of a section that holds no rows, each with the settings that it is to be run with. */
export async function definitionsOf(
  archive: Archive,
  parts: readonly LocatedPart[],
  encoding: string,
): Promise<Definition[]> {
  const definitions: Definition[] = []
  const settings = new Map<string, string>()
  let inForce: readonly string[] = []
  let entry = ''
  for await (const piece of piecesOf(archive, parts, encoding)) {
    if (piece.kind !== 'statement') continue
    const { sql, before } = piece
    if (isSetting(sql)) {
      settings.set(settingOf(sql), sql)
      inForce = [...settings.values()]
      continue
    }
    entry = entryOf(before) ?? entry
    definitions.push({ sql, what: entry === '' ? firstLine(sql) : entry, settings: inForce })
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
