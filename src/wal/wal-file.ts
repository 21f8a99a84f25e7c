import { PostboxError } from '../errors.js'

/**
 * What Postgres hands to its archive_command: a segment, a timeline's history, the history file of a base backup
 * (`….backup`), or the unfinished last segment of a timeline that was left at a promotion (`….partial`).
 */
export type WalFileKind = 'segment' | 'history' | 'backup' | 'partial'

const KINDS: readonly (readonly [RegExp, WalFileKind])[] = [
  [/^[0-9A-F]{24}$/, 'segment'],
  [/^[0-9A-F]{8}\.history$/, 'history'],
  [/^[0-9A-F]{24}\.[0-9A-F]{8}\.backup$/, 'backup'],
  [/^[0-9A-F]{24}\.partial$/, 'partial'],
]

/** The kind of a file in pg_wal, by its name. Throws `bad_argument` for any other. */
export function walFileKind(name: string): WalFileKind {
  for (const [pattern, kind] of KINDS) if (pattern.test(name)) return kind
  throw new PostboxError(
    'bad_argument',
    `"${name}" is no file that Postgres archives`,
    "Write it as archive_command = 'postbox archive-wal %p'.",
  )
}
