import type { Lsn } from '../wal/lsn.js'
import { lsnArgument, systemIdentifierArgument } from './row-values.js'

/** What psql must be told before anything else: rows behind a statement that failed are no statements. */
export const PSQL_SETTINGS = '\\set ON_ERROR_STOP on\n'

/** A row of a rebuild that is no segment; see sql/49-rebuild.sql. */
export interface RebuiltItem {
  kind: 'base' | 'dump' | 'object' | 'timeline' | 'commit' | 'drill'
  item: Record<string, unknown>
}

/** A segment as a listing shows it, or read. */
export interface RebuiltSegment {
  timeline: number
  start: Lsn
  segmentBytes: number
  bytes: number
  /** whole, or the six bytes of the key's mark */
  sha256: Buffer
  lastCommitAt: Date | null
  storedAt: Date
  key: string
  /** false: it is there, and is not what the catalog should show */
  taken: boolean
}

/** Begins the transaction of a rebuild. */
export function beginRebuild(systemIdentifier: string): string {
  return [
    'begin;',
    "set local client_encoding = 'UTF8'; set local datestyle = 'ISO, YMD'; set local statement_timeout = 0;",
    `select backup._begin_rebuild(${systemIdentifierArgument(systemIdentifier)});`,
    '',
  ].join('\n')
}

/** Takes itemRow()s, as often as there are some. */
export const COPY_ITEMS = 'copy pg_temp.rebuilt_item (kind, item) from stdin'

/** Takes segmentRow()s. */
export const COPY_SEGMENTS =
  'copy pg_temp.rebuilt_segment (timeline, start_lsn, segment_bytes, bytes, sha256, last_commit_at, stored_at, key, taken) from stdin'

/** @param forgetMissingAt when the bucket was listed, to take away what it no longer has; null: it stays */
export function endRebuild(systemIdentifier: string, forgetMissingAt: Date | null): string {
  const at = forgetMissingAt === null ? 'null' : `'${forgetMissingAt.toISOString()}'`
  const system = systemIdentifierArgument(systemIdentifier)
  return `select e.what, e.rows from backup._end_rebuild(${system}, ${at}) e;\n`
}

export function itemRow({ kind, item }: RebuiltItem): string {
  return `${kind}\t${copyText(JSON.stringify(item))}\n`
}

export function segmentRow(segment: RebuiltSegment): string {
  const { timeline, start, segmentBytes, bytes, sha256, lastCommitAt, storedAt, key, taken } = segment
  return (
    [
      timeline,
      lsnArgument(start),
      segmentBytes,
      bytes,
      `\\\\x${sha256.toString('hex')}`,
      lastCommitAt === null ? '\\N' : lastCommitAt.toISOString(),
      storedAt.toISOString(),
      copyText(key),
      taken,
    ].join('\t') + '\n'
  )
}

/** As COPY's text format takes a value. */
function copyText(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('\t', '\\t').replaceAll('\n', '\\n').replaceAll('\r', '\\r')
}
