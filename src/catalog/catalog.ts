import { writeError } from './error-text.js'
import { sql } from 'slonik'
import { z } from 'zod'
import { Grant } from '../box/grant.js'
import type { DrillResult } from '../box/drill-result.js'
import type { KeptArchive } from '../box/kept-archive.js'
import { PostboxError } from '../errors.js'
import type { Secret } from '../secret.js'
import type { Lsn } from '../wal/lsn.js'
import type { Segment } from '../wal/segment.js'
import { Checks } from './checks.js'
import { recordDrill, recordKept } from './drills.js'
import { readFigures, type CatalogFigures } from './figures.js'
import * as gaps from './gaps.js'
import * as jobs from './jobs.js'
import { Overviews } from './overview.js'
import { CatalogPool, json } from './pool.js'
import { Nothing } from './row-values.js'
import { Schedules } from './schedules.js'
import { readSettings, type Settings } from './settings.js'
import { ServerState } from './server-state.js'
import * as wal from './wal.js'

export type { BaseJob, ClaimedJob, DumpJob, FinishedBase, Progress, StoredObject } from './jobs.js'
export type { SegmentRow, WalEnd, WalIdentity } from './wal.js'

/** The parts of the worker that can be in trouble. */
export type Component = 'box' | 'issuer' | 'wal' | 'archive' | 'database' | 'webhook'

/** Checks that the database can be reached and holds a catalog. The caller closes. */
export async function openCatalog(databaseUrl: Secret): Promise<Catalog> {
  const catalog = new Catalog(await CatalogPool.open(databaseUrl))
  try {
    await catalog.settings()
    return catalog
  } catch (thrown) {
    await catalog.close()
    throw thrown
  }
}

/**
 * The schema `backup` as the worker uses it: one method per function, rows with the names that they have in SQL.
 *
 * Every method throws `database_unavailable` (try again), `database_refused`, `catalog_missing` and `catalog_refused`.
 */
export class Catalog {
  readonly #pool: CatalogPool
  /** what the server that holds it says of itself */
  readonly server: ServerState
  readonly checks: Checks
  readonly schedules: Schedules
  readonly overviews: Overviews

  constructor(pool: CatalogPool) {
    this.#pool = pool
    this.server = new ServerState(pool)
    this.checks = new Checks(pool)
    this.schedules = new Schedules(pool)
    this.overviews = new Overviews(pool)
  }

  figures(): Promise<CatalogFigures> {
    return readFigures(this.#pool)
  }

  settings(): Promise<Settings> {
    return readSettings(this.#pool)
  }

  /** The server's clock, which grants, rows and restores go by. Rounded up, so that it is never before the fact. */
  async now(): Promise<Date> {
    const Row = z.object({ ms: z.number() })
    const { ms } = await this.#pool.one(
      sql.type(Row)`select (extract(epoch from clock_timestamp()) * 1000)::float8 as ms`,
    )
    return new Date(Math.ceil(ms))
  }

  /**
   * Before startWorker(). Null when the last worker worked on this same server; after a restore, how many of its jobs were
   * ended.
   */
  async enterLife(): Promise<number | null> {
    const Row = z.object({ ended: z.number().int() })
    const row = await this.#pool.maybeOne(sql.type(Row)`select l.ended from backup._enter_life() l`)
    return row?.ended ?? null
  }

  /** Takes over once the worker lock is held. Resolves to how many jobs of a dead worker were queued again. */
  async startWorker(version: string): Promise<number> {
    const Row = z.object({ requeued: z.number().int() })
    const { requeued } = await this.#pool.one(sql.type(Row)`select backup._start_worker(${version}) as requeued`)
    return requeued
  }

  /** See wal.atRiskSince(). */
  atRiskSince(): ReturnType<typeof wal.atRiskSince> {
    return wal.atRiskSince(this.#pool)
  }

  /**
   * Keeps since when WAL waits of which `from` is the first byte. Repeating it is free.
   *
   * @param sinceMicros after 2000-01-01 UTC, as the server itself counts
   */
  reportAtRisk(from: Lsn, sinceMicros: bigint): Promise<void> {
    return wal.reportAtRisk(this.#pool, from, sinceMicros)
  }

  /** Shows in backup.checks what troubles a part of the worker; null when it works again. Repeating it is free. */
  async reportProblem(component: Component, problem: PostboxError | null): Promise<void> {
    const write = (error: ReturnType<typeof sql.fragment>) =>
      this.#pool.one(sql.type(Nothing)`select backup._report_problem(${component}, ${error}) as nothing`)
    if (problem === null) await write(sql.fragment`null`)
    else await writeError(problem, (error) => write(json(error)))
  }

  /** See drills.ts. */
  recordDrill(drill: DrillResult): Promise<boolean> {
    return recordDrill(this.#pool, drill)
  }

  recordKept(kept: KeptArchive): Promise<number> {
    return recordKept(this.#pool, kept)
  }

  claimJob(): Promise<jobs.ClaimedJob | null> {
    return jobs.claimJob(this.#pool)
  }

  reportProgress(jobId: bigint, progress: jobs.Progress): Promise<void> {
    return jobs.reportProgress(this.#pool, jobId, progress)
  }

  /** Also true for a job that no longer runs. */
  isCancelRequested(jobId: bigint): Promise<boolean> {
    return jobs.isCancelRequested(this.#pool, jobId)
  }

  /** Throws `object_conflict` when the key was recorded with another content. */
  recordObject(jobId: bigint, object: jobs.StoredObject): Promise<void> {
    return jobs.recordObject(this.#pool, jobId, object)
  }

  /** Throws `wal_missing` when the WAL of the backup is not stored whole, `job_canceled`, `job_not_running`. */
  finishBase(jobId: bigint, backup: jobs.FinishedBase): Promise<void> {
    return jobs.finishBase(this.#pool, jobId, backup)
  }

  /** Throws `job_canceled`, `job_not_running`. */
  previousDump(systemIdentifier: string): Promise<string | null> {
    return jobs.previousDump(this.#pool, systemIdentifier)
  }

  rememberMasked(masks: Parameters<typeof jobs.rememberMasked>[1]): Promise<void> {
    return jobs.rememberMasked(this.#pool, masks)
  }

  finishDump(jobId: bigint, dump: jobs.FinishedDump): Promise<void> {
    return jobs.finishDump(this.#pool, jobId, dump)
  }

  /** Resolves to the job's state: queued again when `retry` and attempts are left. */
  failJob(jobId: bigint, error: PostboxError, retry: boolean): ReturnType<typeof jobs.failJob> {
    return jobs.failJob(this.#pool, jobId, error, retry)
  }

  endCanceled(jobId: bigint): Promise<void> {
    return jobs.endCanceled(this.#pool, jobId)
  }

  /** See wal.ts: the transaction's id, 0 when nothing was written. Throws `wal_conflict`. */
  recordSegments(systemIdentifier: string, segments: readonly wal.SegmentRow[]): Promise<number> {
    return wal.recordSegments(this.#pool, systemIdentifier, segments)
  }

  /** Whose WAL it is, and how it is cut. */
  walIdentity(): Promise<wal.WalIdentity> {
    return wal.readIdentity(this.#pool)
  }

  /** Whether a segment is recorded. Throws `wal_conflict` when it is, with another content. */
  knowsSegment(systemIdentifier: string, segment: Segment, sha256: Buffer): Promise<boolean> {
    return wal.knowsSegment(this.#pool, systemIdentifier, segment, sha256)
  }

  /** Whether a timeline is recorded. Throws `wal_conflict` when it is, with another history. */
  knowsTimeline(systemIdentifier: string, timeline: number, history: string): Promise<boolean> {
    return wal.knowsTimeline(this.#pool, systemIdentifier, timeline, history)
  }

  /** Throws `wal_conflict` when the timeline was recorded with another history. */
  recordTimeline(systemIdentifier: string, timeline: number, history: string, key: string): Promise<void> {
    return wal.recordTimeline(this.#pool, systemIdentifier, timeline, history, key)
  }

  /** Whether the WAL of one timeline is stored without a gap. */
  coversWal(systemIdentifier: string, timeline: number, from: Lsn, to: Lsn): Promise<boolean> {
    return wal.coversWal(this.#pool, systemIdentifier, timeline, from, to)
  }

  /** Where the stored WAL of a timeline ends, by its rows; null when there is none. */
  walCoveredTo(systemIdentifier: string, timeline: number): Promise<Lsn | null> {
    return wal.coveredTo(this.#pool, systemIdentifier, timeline)
  }

  /** What a segment follows, for its name; null when that is not known. */
  previousMark(systemIdentifier: string, segment: Segment, segmentBytes: number): Promise<string | null> {
    return wal.previousMark(this.#pool, systemIdentifier, segment, segmentBytes)
  }

  /** Key of the segment that holds the byte before `lsn`; null when it is not stored whole. */
  keyOfSegmentBefore(
    systemIdentifier: string,
    timeline: number,
    lsn: Lsn,
    segmentBytes: number,
  ): Promise<string | null> {
    return wal.keyOfSegmentBefore(this.#pool, systemIdentifier, timeline, lsn, segmentBytes)
  }

  /** See gaps.ts: those that nobody has found but the rows. */
  walHoles(systemIdentifier: string, timeline: number, before: Lsn): Promise<gaps.WalHole[]> {
    return gaps.walHoles(this.#pool, systemIdentifier, timeline, before)
  }

  /** See gaps.ts. */
  resumeBaseAfterGap(systemIdentifier: string): Promise<void> {
    return gaps.resumeBaseAfterGap(this.#pool, systemIdentifier)
  }

  /** See gaps.ts. Where a gap begins that was not known before, or null. */
  recordGap(systemIdentifier: string, gap: gaps.Gap): Promise<Lsn | null> {
    return gaps.recordGap(this.#pool, systemIdentifier, gap)
  }

  /** Where the WAL of this server ends now, by its own clock. */
  walEnd(): Promise<wal.WalEnd> {
    return wal.readEnd(this.#pool)
  }

  /** Shows in the views that WAL is read from a standby, by its address; null when it is read where the catalog is. */
  async reportSource(standby: string | null): Promise<void> {
    await this.#pool.one(sql.type(Nothing)`select backup._report_source(${standby}) as nothing`)
  }

  /** Keeps where the slot stands that was made just now, so that nothing in its segment counts as stored. */
  reportSlotMade(lsn: Lsn): Promise<void> {
    return wal.reportSlotMade(this.#pool, lsn)
  }

  slotMadeAt(): Promise<Lsn | null> {
    return wal.slotMadeAt(this.#pool)
  }

  /** Sees to it that the segment that ends at an LSN, or holds it, gets whole. Resolves to whether it will by itself. */
  finishSegment(lsn: Lsn): Promise<boolean> {
    return wal.finishSegment(this.#pool, lsn)
  }

  /** A moment by which all WAL before an LSN had been written, by this server's clock; null when it is not stored. */
  walWrittenBy(systemIdentifier: string, timeline: number, lsn: Lsn): Promise<Date | null> {
    return wal.writtenBy(this.#pool, systemIdentifier, timeline, lsn)
  }

  /** Whether a COMMIT waits for what the worker's WAL stream reports. */
  isSynchronous(): Promise<boolean> {
    return wal.isSynchronous(this.#pool, 'postbox')
  }

  /** The grant in use: of those that have not ended the one that ends last. Null when there is none. */
  async currentGrant(): Promise<Grant | null> {
    const Row = z.object({ content: Grant.nullable() })
    const { content } = await this.#pool.one(sql.type(Row)`select backup._grant() as content`)
    return content
  }

  /** Resolves to when it expires. Throws `grant_invalid` or `grant_expired`; the database checks it again. */
  async installGrant(grant: Grant): Promise<Date> {
    const Row = z.object({ ms: z.number() })
    const { ms } = await this.#pool.one(
      sql.type(Row)`select (extract(epoch from backup.install_grant(${json(grant)})) * 1000)::float8 as ms`,
    )
    return new Date(ms)
  }

  /** SHA-256 of the manifest that was stored last, which the next one names; null before the first. */
  previousManifest(systemIdentifier: string): Promise<Buffer | null> {
    return jobs.previousManifest(this.#pool, systemIdentifier)
  }

  async close(): Promise<void> {
    await this.#pool.end()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}
