import { createHash } from 'node:crypto'
import type { Lsn } from '../wal/lsn.js'
import { formatTimeline, segmentName, type Segment } from '../wal/segment.js'

/** All object names, as format/parse pairs. The reasons stand in FORMAT.md. */

/** Which server's life a key belongs to. */
export interface Home {
  server: string
  /** pg_control's system identifier, in decimal */
  systemIdentifier: string
}

/** First 12 hex digits of a SHA-256, the content mark in every key. */
export function sha12(sha256: Buffer): string {
  return sha256.subarray(0, 6).toString('hex')
}

export const homePrefix = ({ server, systemIdentifier }: Home): string => `${server}/${systemIdentifier}/`
export const basePrefix = (home: Home): string => `${homePrefix(home)}base/`
export const backupPrefix = (home: Home, backupId: string): string => `${basePrefix(home)}${backupId}/`
export const walPrefix = (home: Home): string => `${homePrefix(home)}wal/`
export const timelinePrefix = (home: Home, timeline: number): string => `${walPrefix(home)}${formatTimeline(timeline)}/`

/** `tablespace` is `base` or a tablespace's oid; `stored` the SHA-256 of the stored bytes. */
export function partKey(home: Home, backupId: string, tablespace: string, index: number, stored: Buffer): string {
  return `${backupPrefix(home, backupId)}${tablespace}/${String(index).padStart(6, '0')}-${sha12(stored)}.tar.zst`
}

/** Postgres's own backup_manifest, as one zstd object. */
export function backupManifestKey(home: Home, backupId: string, stored: Buffer): string {
  return `${backupPrefix(home, backupId)}backup_manifest-${sha12(stored)}.zst`
}

/** The commit of a base backup. */
export function manifestKey(home: Home, backupId: string, stored: Buffer): string {
  return `${backupPrefix(home, backupId)}manifest-${sha12(stored)}.json`
}

export const dumpsPrefix = (home: Home): string => `${homePrefix(home)}dump/`
export const dumpPrefix = (home: Home, dumpId: string): string => `${dumpsPrefix(home)}${dumpId}/`

/** A name in a key: all but letters, digits, underscores and hyphens percent-encoded, byte by byte. */
function safeName(name: string): string {
  const encode = (char: string) =>
    [...Buffer.from(char)].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join('')
  return name.replace(/[^A-Za-z0-9_-]/gu, encode)
}

/** Rows of a table: part `index` of its slice `slice`. */
export function dumpPartKey(
  home: Home,
  dumpId: string,
  table: { schema: string; name: string },
  slice: number,
  index: number,
  stored: Buffer,
): string {
  const place = `${String(slice).padStart(6, '0')}.${String(index).padStart(6, '0')}`
  const folder = `${safeName(table.schema)}.${safeName(table.name)}`
  return `${dumpPrefix(home, dumpId)}data/${folder}/${place}-${sha12(stored)}.copy.zst`
}

/** SQL of one section: part `index` of what pg_dump printed. */
export function dumpSqlKey(home: Home, dumpId: string, section: string, index: number, stored: Buffer): string {
  return `${dumpPrefix(home, dumpId)}${section}/${String(index).padStart(6, '0')}-${sha12(stored)}.sql.zst`
}

/** The commit of a dump. */
export function dumpManifestKey(home: Home, dumpId: string, stored: Buffer): string {
  return `${dumpPrefix(home, dumpId)}manifest-${sha12(stored)}.json`
}

/** What a segment and its tails say of the WAL before them; null where the writer did not know it. */
export type Previous = string | null

/** `raw` is the SHA-256 of the uncompressed segment. */
export function segmentKey(
  home: Home,
  segment: Segment,
  segmentBytes: number,
  raw: Buffer,
  previous: Previous = null,
): string {
  const name = segmentName(segment, segmentBytes)
  return `${timelinePrefix(home, segment.timeline)}${name}-${prefixOf(previous)}${sha12(raw)}.zst`
}

const prefixOf = (previous: Previous): string => (previous === null ? '' : `${previous}-`)

/**
 * The `previous` of the first segment of a timeline, which goes through its history: two servers that were promoted to
 * the same timeline are told apart. `before`: mark of the segment before it, on the timeline that was left, or null.
 */
export function previousOfFirst(before: string | null, historyMark: string): string {
  return sha12(
    createHash('sha256')
      .update(`${before ?? ''}${historyMark}`)
      .digest(),
  )
}

/** LSN in a key: 16 hex digits, so that names sort by it and hold no slash. */
export const lsnDigits = (lsn: Lsn): string => lsn.toString(16).toUpperCase().padStart(16, '0')

export const tailsPrefix = (home: Home): string => `${homePrefix(home)}tail/`
export const tailPrefix = (home: Home, timeline: number, segment: string): string =>
  `${tailsPrefix(home)}${formatTimeline(timeline)}/${segment}/`

/** Which bytes of an unfinished segment a tail holds: `from` up to, and without, `to`. */
export interface TailRange {
  from: Lsn
  to: Lsn
}

/** `raw` is the SHA-256 of all bytes of the segment up to `to`, those before `from` too. */
export function tailKey(
  home: Home,
  segment: Segment,
  segmentBytes: number,
  { from, to }: TailRange,
  raw: Buffer,
  previous: Previous = null,
): string {
  const prefix = tailPrefix(home, segment.timeline, segmentName(segment, segmentBytes))
  return `${prefix}${lsnDigits(from)}-${lsnDigits(to)}-${prefixOf(previous)}${sha12(raw)}.zst`
}

/** `raw` is the SHA-256 of the history file's text. */
export function historyKey(home: Home, timeline: number, raw: Buffer): string {
  return `${walPrefix(home)}${formatTimeline(timeline)}.history-${sha12(raw)}`
}

export function restoreNoteKey(server: string, raw: Buffer): string {
  return `${server}/RESTORE-${sha12(raw)}.md`
}

/** What "postbox doctor" posts to see whether that works. `raw` is the SHA-256 of its text. */
export function doctorKey(server: string, raw: Buffer): string {
  return `${server}/doctor-${sha12(raw)}.txt`
}

// Whole keys: what only ends like one of ours is none, and a segment lies in the folder of its own timeline.
const HOME = '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}/[0-9]{1,20}/'
const MARK = '([0-9a-f]{12})'
const NAMED_WAL = `(?:${MARK}-)?${MARK}\\.zst$`
const ID = '\\d{8}T\\d{6}Z-[0-9a-f]{4}'
const WAL_KEY = new RegExp(`${HOME}wal/([0-9A-F]{8})/(\\1[0-9A-F]{16})-${NAMED_WAL}`)
const TAIL_KEY = new RegExp(`${HOME}tail/([0-9A-F]{8})/(\\1[0-9A-F]{16})/([0-9A-F]{16})-([0-9A-F]{16})-${NAMED_WAL}`)
const HISTORY_KEY = new RegExp(`${HOME}wal/([0-9A-F]{8})\\.history-${MARK}$`)
const MANIFEST_KEY = new RegExp(`${HOME}base/(${ID})/manifest-${MARK}\\.json$`)
const DUMP_MANIFEST_KEY = new RegExp(`${HOME}dump/(${ID})/manifest-${MARK}\\.json$`)
const ONE_ID = new RegExp(`^${ID}$`)

export interface SegmentKey {
  name: string
  previous: Previous
  sha12: string
}

/** What a WAL key says, or null when it is none. */
export function parseSegmentKey(key: string): SegmentKey | null {
  const match = WAL_KEY.exec(key)
  return match && { name: match[2]!, previous: match[3] ?? null, sha12: match[4]! }
}

/** What a tail's key says, or null when it is none. */
export function parseTailKey(key: string): (SegmentKey & TailRange) | null {
  const match = TAIL_KEY.exec(key)
  if (!match) return null
  const [, , name, from, to, previous = null, mark] = match
  return { name: name!, from: BigInt(`0x${from!}`), to: BigInt(`0x${to!}`), previous, sha12: mark! }
}

export function parseHistoryKey(key: string): { timeline: number; sha12: string } | null {
  const match = HISTORY_KEY.exec(key)
  return match && { timeline: Number.parseInt(match[1]!, 16), sha12: match[2]! }
}

export function parseManifestKey(key: string): { backupId: string; sha12: string } | null {
  const match = MANIFEST_KEY.exec(key)
  return match && { backupId: match[1]!, sha12: match[2]! }
}

/** The content mark in the name of a manifest, without its folder; null when it is none. */
export function parseManifestName(name: string): string | null {
  return /^manifest-([0-9a-f]{12})\.json$/.exec(name)?.[1] ?? null
}

export function parseDumpManifestKey(key: string): { dumpId: string; sha12: string } | null {
  const match = DUMP_MANIFEST_KEY.exec(key)
  return match && { dumpId: match[1]!, sha12: match[2]! }
}

/** UTC time to the second and four random hex digits: `20261122T100000Z-3fa9`. Sorts by time. */
export function formatBackupId(startedAt: Date, random: Buffer): string {
  const time = startedAt.toISOString().replace(/[-:]/g, '').replace(/\.\d+/, '')
  return `${time}-${random.subarray(0, 2).toString('hex')}`
}

/** Whether a text has the form of the id of a backup, a dump or a plan. */
export function isBackupId(text: string): boolean {
  return ONE_ID.test(text)
}
