import { sql } from 'slonik'
import { z } from 'zod'
import { parseLsn, type Lsn } from '../wal/lsn.js'
import { segmentStart, type Segment } from '../wal/segment.js'
import { json, type CatalogPool } from './pool.js'
import { lsnArgument, Nothing, NumberText, SystemIdentifier, systemIdentifierArgument } from './row-values.js'

/** A WAL segment that lies in the box. */
export interface SegmentRow {
  timeline: number
  start_lsn: Lsn
  segment_bytes: number
  key: string
  /** stored bytes */
  bytes: number
  /** of the raw segment */
  sha256: Buffer
  last_commit_at: Date | null
}

/**
 * Notes stored segments, all or none, and resolves to the id of the transaction that did, in 32 bits as WAL carries it.
 *
 * 0, which no transaction has, when all were known before and nothing was written. Throws `wal_conflict` when a segment
 * was recorded with another content.
 */
export async function recordSegments(
  pool: CatalogPool,
  systemIdentifier: string,
  segments: readonly SegmentRow[],
): Promise<number> {
  const rows = segments.map((segment) => ({
    ...segment,
    start_lsn: lsnArgument(segment.start_lsn),
    sha256: segment.sha256.toString('hex'),
  }))
  const Row = z.object({ xid: z.string().regex(/^\d+$/).nullable() })
  const { xid } = await pool.one(sql.type(Row)`
    select backup._record_segments(${systemIdentifierArgument(systemIdentifier)}, ${json(rows)}) as xid
  `)
  return xid === null ? 0 : Number(xid)
}

/** Notes a stored history file. Throws `wal_conflict` when it was recorded with another content. */
export async function recordTimeline(
  pool: CatalogPool,
  systemIdentifier: string,
  timeline: number,
  history: string,
  key: string,
): Promise<void> {
  await pool.one(sql.type(Nothing)`
    select backup._record_timeline(${systemIdentifierArgument(systemIdentifier)}, ${timeline}, ${history}, ${key})
      as nothing
  `)
}

export async function coversWal(
  pool: CatalogPool,
  systemIdentifier: string,
  timeline: number,
  from: Lsn,
  to: Lsn,
): Promise<boolean> {
  const Row = z.object({ covered: z.boolean() })
  const { covered } = await pool.one(sql.type(Row)`
    select backup._covers_wal(
      ${systemIdentifierArgument(systemIdentifier)}, ${timeline}, ${lsnArgument(from)}, ${lsnArgument(to)}
    ) as covered
  `)
  return covered
}

/** Where the stored WAL of a timeline ends, by its rows; null when there is none. */
export async function coveredTo(pool: CatalogPool, systemIdentifier: string, timeline: number): Promise<Lsn | null> {
  const Row = z.object({ to_lsn: z.string().transform(parseLsn).nullable() })
  const { to_lsn } = await pool.one(sql.type(Row)`
    select max(c.to_lsn)::text as to_lsn from backup.wal_coverage c
    where c.system_identifier = ${systemIdentifierArgument(systemIdentifier)} and c.timeline = ${timeline}
  `)
  return to_lsn
}

/** Keeps where the slot stands that was made just now. */
export async function reportSlotMade(pool: CatalogPool, lsn: Lsn): Promise<void> {
  await pool.one(sql.type(Nothing)`select backup._report_slot_made(${lsnArgument(lsn)}) as nothing`)
}

/** Where a slot stood when a worker last made one; null when none did. */
export async function slotMadeAt(pool: CatalogPool): Promise<Lsn | null> {
  const Row = z.object({ made_at: z.string().transform(parseLsn).nullable() })
  const { made_at } = await pool.one(sql.type(Row)`select backup._slot_made_at()::text as made_at`)
  return made_at
}

/** Whether a COMMIT waits for what the stream of this name reports (synchronous_standby_names). */
export async function isSynchronous(pool: CatalogPool, applicationName: string): Promise<boolean> {
  const Row = z.object({ synchronous: z.boolean() })
  const { synchronous } = await pool.one(sql.type(Row)`
    select backup._is_synchronous(${applicationName}) as synchronous
  `)
  return synchronous
}

/** Timeline on which a primary writes now; null on a standby. */
export const TIMELINE_NOW = sql.fragment`
  case when not pg_catalog.pg_is_in_recovery() then
    ('x' || left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 8))::bit(32)::bigint::text
  end`

const WalIdentity = z.object({
  system_identifier: SystemIdentifier,
  segment_bytes: z.coerce.number().int(),
  /** a standby: nothing can be recorded */
  in_recovery: z.boolean(),
  /** on which it writes; null on a standby */
  timeline: NumberText.nullable(),
})

/** Whose WAL the server writes, and how it is cut. */
export type WalIdentity = z.infer<typeof WalIdentity>

export async function readIdentity(pool: CatalogPool): Promise<WalIdentity> {
  return pool.one(sql.type(WalIdentity)`
    select c.system_identifier::text, pg_size_bytes(current_setting('wal_segment_size'))::text as segment_bytes,
           pg_is_in_recovery() as in_recovery, ${TIMELINE_NOW} as timeline
    from pg_control_system() c
  `)
}

const WalEnd = z.object({
  timeline: NumberText,
  lsn: z.string().transform(parseLsn),
  /** the server's clock, in seconds from 1970 */
  at: z.number(),
})

/** How far a primary has written WAL, and when that was so. */
export type WalEnd = z.infer<typeof WalEnd>

export function readEnd(pool: CatalogPool): Promise<WalEnd> {
  // The clock first: what is written while it is read is then younger than it says.
  return pool.one(sql.type(WalEnd)`
    select extract(epoch from clock_timestamp())::float8 as at, ${TIMELINE_NOW} as timeline,
           pg_current_wal_lsn()::text as lsn
  `)
}

/** See sql/42-record-segments.sql. */
export async function finishSegment(pool: CatalogPool, lsn: Lsn): Promise<boolean> {
  const Row = z.object({ finished: z.boolean() })
  const { finished } = await pool.one(sql.type(Row)`select backup._finish_segment(${lsnArgument(lsn)}) as finished`)
  return finished
}

/** A moment by which all WAL of a timeline before an LSN had been written; null when the segment has no row. */
export async function writtenBy(
  pool: CatalogPool,
  systemIdentifier: string,
  timeline: number,
  lsn: Lsn,
): Promise<Date | null> {
  const Row = z.object({ ms: z.number().nullable() })
  const { ms } = await pool.one(sql.type(Row)`
    select (extract(epoch from backup._written_by(
      ${systemIdentifierArgument(systemIdentifier)}, ${timeline}, ${lsnArgument(lsn)}
    )) * 1000)::float8 as ms
  `)
  return ms === null ? null : new Date(Math.ceil(ms))
}

/** See sql/70-wal-position.sql; `sinceMicros` after 2000-01-01 UTC. */
export async function reportAtRisk(pool: CatalogPool, from: Lsn, sinceMicros: bigint): Promise<void> {
  await pool.one(sql.type(Nothing)`
    select backup._report_at_risk(${lsnArgument(from)},
      '2000-01-01 00:00:00+00'::timestamptz + ${sinceMicros.toString()}::bigint * interval '1 microsecond'
    ) as nothing
  `)
}

/** Whether a segment is recorded with this content. Throws `wal_conflict` when it is with another. */
export async function knowsSegment(
  pool: CatalogPool,
  systemIdentifier: string,
  { timeline, start }: Segment,
  sha256: Buffer,
): Promise<boolean> {
  const { known } = await pool.one(sql.type(Known)`
    select backup._knows_segment(
      ${systemIdentifierArgument(systemIdentifier)}, ${timeline}, ${lsnArgument(start)}, ${sql.binary(sha256)}
    ) as known
  `)
  return known
}

/** Whether a timeline is recorded with this history. Throws `wal_conflict` when it is with another. */
export async function knowsTimeline(
  pool: CatalogPool,
  systemIdentifier: string,
  timeline: number,
  history: string,
): Promise<boolean> {
  const { known } = await pool.one(sql.type(Known)`
    select backup._knows_timeline(${systemIdentifierArgument(systemIdentifier)}, ${timeline}, ${history}) as known
  `)
  return known
}

const Known = z.object({ known: z.boolean() })

/** What a segment follows, for its name; null when that is not known. */
export async function previousMark(
  pool: CatalogPool,
  systemIdentifier: string,
  { timeline, start }: Segment,
  segmentBytes: number,
): Promise<string | null> {
  const Row = z.object({ mark: Mark.nullable() })
  const { mark } = await pool.one(sql.type(Row)`
    select backup._previous_mark(
      ${systemIdentifierArgument(systemIdentifier)}, ${timeline}, ${lsnArgument(start)}, ${segmentBytes}
    ) as mark
  `)
  return mark
}

const Mark = z.string().regex(/^[0-9a-f]{12}$/)

/** Key of the segment that holds the byte before `lsn`; null when it is not stored whole. */
export async function keyOfSegmentBefore(
  pool: CatalogPool,
  systemIdentifier: string,
  timeline: number,
  lsn: Lsn,
  segmentBytes: number,
): Promise<string | null> {
  const Row = z.object({ key: z.string().nullable() })
  const { key } = await pool.one(sql.type(Row)`
    select backup._segment_key(
      ${systemIdentifierArgument(systemIdentifier)}, ${timeline}, ${lsnArgument(segmentStart(lsn - 1n, segmentBytes))}
    ) as key
  `)
  return key
}

const AtRisk = z.object({ ms: z.number().nullable(), is_first: z.boolean() })

/**
 * Since when WAL waits that is not stored, by the server's clock; null when none does, or nothing is known. `isFirst`: no WAL
 * of this cluster was ever stored.
 */
export async function atRiskSince(pool: CatalogPool): Promise<{ since: Date | null; isFirst: boolean }> {
  const { ms, is_first } = await pool.one(sql.type(AtRisk)`
    select (extract(epoch from r.since) * 1000)::float8 as ms, not exists (
             select from backup.wal_coverage w join pg_control_system() c using (system_identifier)) as is_first
    from backup._at_risk() r
  `)
  return { since: ms === null ? null : new Date(Math.floor(ms)), isFirst: is_first }
}
