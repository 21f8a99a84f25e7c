import { sql } from 'slonik'
import { z } from 'zod'
import { parseLsn, type Lsn } from '../wal/lsn.js'
import type { CatalogPool } from './pool.js'
import { lsnArgument, systemIdentifierArgument } from './row-values.js'

/** WAL that is missing between what is stored. */
export interface WalHole {
  timeline: number
  from: Lsn
  to: Lsn
}

/** What is missing by the rows alone, and was not found yet: on `timeline` where it begins before `before`; in order. */
export async function walHoles(
  pool: CatalogPool,
  systemIdentifier: string,
  timeline: number,
  before: Lsn,
): Promise<WalHole[]> {
  const Row = z.object({ timeline: z.number().int(), from: z.string(), to: z.string() })
  const rows = await pool.any(sql.type(Row)`
    select h.on_timeline as timeline, h.from_lsn::text as "from", h.to_lsn::text as "to"
    from backup._wal_holes(${systemIdentifierArgument(systemIdentifier)}, ${timeline}, ${lsnArgument(before)}) h
  `)
  return rows.map(({ from, to, ...row }) => ({ ...row, from: parseLsn(from), to: parseLsn(to) }))
}

/** Where WAL is stored again, and what became of the WAL before that. */
export interface Gap {
  timeline: number
  to: Lsn
  reason: string
  /** whether a base backup that runs now begins after it */
  runningBeginsAfter: boolean
}

/** Queues the base backup after the newest gap once more, if it failed and nobody began another. */
export async function resumeBaseAfterGap(pool: CatalogPool, systemIdentifier: string): Promise<void> {
  await pool.one(sql.type(z.object({}))`
    select from backup._resume_base_after_gap(${systemIdentifierArgument(systemIdentifier)})
  `)
}

/** Shows a gap at once and sees to the base backup after it. Where it begins; null when there is none, or it was known. */
export async function recordGap(pool: CatalogPool, systemIdentifier: string, gap: Gap): Promise<Lsn | null> {
  const Row = z.object({ from_lsn: z.string().transform(parseLsn).nullable() })
  const { from_lsn } = await pool.one(sql.type(Row)`
    select backup._record_gap(
      ${systemIdentifierArgument(systemIdentifier)}, ${gap.timeline}, ${lsnArgument(gap.to)}, ${gap.reason},
      ${gap.runningBeginsAfter}
    )::text as from_lsn
  `)
  return from_lsn
}
