import { sql } from 'slonik'
import { z } from 'zod'
import type { PostboxError } from '../errors.js'
import type { Lsn } from '../wal/lsn.js'
import type { Mask } from './dump-tables.js'
import { writeError } from './error-text.js'
import { json, type CatalogPool } from './pool.js'
import { BigIntText, lsnArgument, Nothing, systemIdentifierArgument } from './row-values.js'

/** A job that this worker runs now. */
const Claim = z.object({
  job_id: BigIntText,
  /** 1 for the first */
  attempt: z.number().int(),
})

const BaseJob = Claim.extend({
  kind: z.literal('base'),
  target: z.object({ label: z.string().nullable(), checkpoint: z.enum(['fast', 'spread']) }),
})

const DumpJob = Claim.extend({
  kind: z.literal('dump'),
  target: z.object({
    label: z.string().nullable(),
    /** oids, partitions included; null for all */
    tables: z.array(z.number().int()).nullable(),
    schemas: z.array(z.string()).nullable(),
    /** null: as dump_jobs says */
    jobs: z.number().int().nullable(),
    only: z.enum(['schema', 'data']).nullable(),
    /** patterns of tables; see backup._pattern_regex() */
    exclude: z.array(z.string()),
    exclude_data: z.array(z.string()),
    /** by the table's oid */
    where: z.record(z.string(), z.string()),
    /** by the same oids: the table that the condition was written for, as it may call it */
    origins: z.record(z.string(), z.string()).default({}),
    masked: z.boolean(),
    row_security: z.boolean(),
    /** in a masked dump */
    extension_rows: z.boolean().default(false),
    /** whether a superuser has asked for it */
    by_superuser: z.boolean(),
  }),
})

export const ClaimedJob = z.discriminatedUnion('kind', [BaseJob, DumpJob])

export type ClaimedJob = z.infer<typeof ClaimedJob>
export type BaseJob = z.infer<typeof BaseJob>
export type DumpJob = z.infer<typeof DumpJob>

export interface Progress {
  phase: string
  bytes_done: number
  /** null while unknown */
  bytes_total: number | null
  /** of a dump that has begun to copy */
  tables: TableProgress | null
}

export interface TableProgress {
  done: number
  total: number
  copying: { table: string; bytes_done: number; bytes_total: number }[]
}

export interface StoredObject {
  /** such as base_part or backup_manifest */
  kind: string
  key: string
  bytes: number
  raw_bytes: number
  /** of the stored bytes */
  sha256: Buffer
}

export interface FinishedBase {
  backup_id: string
  label: string | null
  system_identifier: string
  timeline: number
  start_lsn: Lsn
  stop_lsn: Lsn
  started_at: Date
  stopped_at: Date
  raw_bytes: number
  stored_bytes: number
  parts: number
  manifest_key: string
  /** of the stored manifest */
  manifest_sha256: Buffer
  postgres_version_num: number
}

export interface FinishedDump {
  dump_id: string
  label: string | null
  system_identifier: string
  database_name: string
  /** as Postgres prints it */
  snapshot_lsn: string
  snapshot_at: Date
  whole: boolean
  masked: boolean
  tables: number
  table_rows: number
  raw_bytes: number
  stored_bytes: number
  manifest_key: string
  postgres_version_num: number
  /** what pg_dump warned of, and what a masked dump left out */
  warnings: readonly string[]
}

const State = z.object({ state: z.enum(['queued', 'failed', 'canceled']) })

/** The oldest queued job, or null. */
export function claimJob(pool: CatalogPool): Promise<ClaimedJob | null> {
  return pool.maybeOne(sql.type(ClaimedJob)`select j.job_id, j.kind, j.target, j.attempt from backup._claim_job() j`)
}

export async function reportProgress(pool: CatalogPool, jobId: bigint, progress: Progress): Promise<void> {
  const { phase, bytes_done, bytes_total, tables } = progress
  const detail = tables && json(tables)
  await pool.one(sql.type(Nothing)`
    select backup._report_progress(${jobId}, ${phase}, ${bytes_done}, ${bytes_total}, ${detail}) as nothing
  `)
}

/** Also true for a job that no longer runs. */
export async function isCancelRequested(pool: CatalogPool, jobId: bigint): Promise<boolean> {
  const Row = z.object({ requested: z.boolean() })
  const { requested } = await pool.one(sql.type(Row)`select backup._is_cancel_requested(${jobId}) as requested`)
  return requested
}

/** Throws `object_conflict` when the key was recorded with another content. */
export async function recordObject(pool: CatalogPool, jobId: bigint, object: StoredObject): Promise<void> {
  const { kind, key, bytes, raw_bytes, sha256 } = object
  await pool.one(sql.type(Nothing)`
    select backup._record_object(${jobId}, ${kind}, ${key}, ${bytes}, ${raw_bytes}, ${sql.binary(sha256)}) as nothing
  `)
}

/** Throws `wal_missing` when the WAL of the backup is not stored whole, `job_canceled`, `job_not_running`. */
export async function finishBase(pool: CatalogPool, jobId: bigint, backup: FinishedBase): Promise<void> {
  const description = {
    ...backup,
    system_identifier: systemIdentifierArgument(backup.system_identifier),
    start_lsn: lsnArgument(backup.start_lsn),
    stop_lsn: lsnArgument(backup.stop_lsn),
    manifest_sha256: backup.manifest_sha256.toString('hex'),
  }
  await pool.one(sql.type(Nothing)`select backup._finish_base(${jobId}, ${json(description)}) as nothing`)
}

/** Throws `job_canceled`, `job_not_running`. */
export async function finishDump(pool: CatalogPool, jobId: bigint, dump: FinishedDump): Promise<void> {
  const description = { ...dump, system_identifier: systemIdentifierArgument(dump.system_identifier) }
  await pool.one(sql.type(Nothing)`select backup._finish_dump(${jobId}, ${json(description)}) as nothing`)
}

/** Keeps which columns were masked: they may not go out in clear when they, or their tables, have got other names. */
export async function rememberMasked(pool: CatalogPool, masks: readonly Mask[]): Promise<void> {
  await pool.one(sql.type(Nothing)`select backup._remember_masked(${json(masks)}) as nothing`)
}

/** See Catalog. */
export async function previousManifest(pool: CatalogPool, systemIdentifier: string): Promise<Buffer | null> {
  const Row = z.object({ sha256: z.instanceof(Buffer).nullable() })
  const { sha256 } = await pool.one(
    sql.type(Row)`select backup._previous_manifest(${systemIdentifierArgument(systemIdentifier)}) as sha256`,
  )
  return sha256
}

/** Key of the dump's manifest that was stored last, which the next one names; null before the first. */
export async function previousDump(pool: CatalogPool, systemIdentifier: string): Promise<string | null> {
  const Row = z.object({ key: z.string().nullable() })
  const { key } = await pool.one(
    sql.type(Row)`select backup._previous_dump(${systemIdentifierArgument(systemIdentifier)}) as key`,
  )
  return key
}

/** The job's state afterwards: queued again when `retry` and attempts are left. */
export function failJob(
  pool: CatalogPool,
  jobId: bigint,
  error: PostboxError,
  retry: boolean,
): Promise<z.infer<typeof State>['state']> {
  return writeError(error, async (text) => {
    const query = sql.type(State)`select backup._fail_job(${jobId}, ${json(text)}, ${retry}) as state`
    return (await pool.one(query)).state
  })
}

export async function endCanceled(pool: CatalogPool, jobId: bigint): Promise<void> {
  await pool.one(sql.type(Nothing)`select backup._end_canceled(${jobId}) as nothing`)
}
