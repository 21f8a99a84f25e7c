import { createHash } from 'node:crypto'
import { formatLsn } from '../../src/wal/lsn.js'
import { segmentName } from '../../src/wal/segment.js'
import type { InstalledServer } from './installed-server.js'

export const MIB = 1024 * 1024

/** A described segment, as the worker passes it; `number` counts from the beginning of all WAL. */
export interface SegmentChoice {
  number: number
  timeline?: number
  /** seconds after 2026-01-01 of the last commit; null for none */
  commit?: number | null
  content?: string
  segmentBytes?: number
}

export const moment = (seconds: number): string => new Date(Date.UTC(2026, 0, 1) + seconds * 1000).toISOString()

export const lsnOf = (number: number, segmentBytes = MIB): string => formatLsn(BigInt(number * segmentBytes))

/** One element of the array that backup._record_segments() takes. */
export function segment(choice: SegmentChoice): Record<string, unknown> {
  const { number, timeline = 1, commit = null, content = '', segmentBytes = MIB } = choice
  const sha256 = createHash('sha256').update(`${timeline}/${number}/${content}`).digest('hex')
  const name = segmentName({ timeline, start: BigInt(number * segmentBytes) }, segmentBytes)
  return {
    timeline,
    start_lsn: lsnOf(number, segmentBytes),
    segment_bytes: segmentBytes,
    key: `db1/1/wal/${name}-${sha256.slice(0, 12)}.zst`,
    bytes: 1000 + number,
    sha256,
    last_commit_at: commit === null ? null : moment(commit),
  }
}

/** Records segments as the worker; resolves to the transaction id it was told. */
export function record(
  catalog: InstalledServer,
  system: number | string,
  choices: readonly SegmentChoice[],
): Promise<string | null> {
  const text = 'select backup._record_segments($1, $2)'
  return catalog.value(text, [system, JSON.stringify(choices.map(segment))], 'walt')
}

/** A described base backup over whole segments, as the worker passes it. */
export function base(system: number | string, backupId: string, choice: BaseChoice): Record<string, unknown> {
  const { timeline = 1, from, to, stopped = 0, ...more } = choice
  return {
    backup_id: backupId,
    label: null,
    system_identifier: String(system),
    timeline,
    start_lsn: lsnOf(from),
    stop_lsn: lsnOf(to),
    started_at: moment(stopped - 10),
    stopped_at: moment(stopped),
    raw_bytes: 5000,
    stored_bytes: 1000,
    parts: 2,
    manifest_key: `db1/${system}/base/${backupId}/manifest-0.json`,
    manifest_sha256: createHash('sha256').update(backupId).digest('hex'),
    postgres_version_num: 180004,
    ...more,
  }
}

export interface BaseChoice {
  timeline?: number
  /** segment numbers of start_lsn and stop_lsn */
  from: number
  to: number
  /** seconds after 2026-01-01 */
  stopped?: number
  [more: string]: unknown
}

/** Queues, claims and finishes a base backup; resolves to its job. */
export async function finish(
  catalog: InstalledServer,
  system: number | string,
  backupId: string,
  choice: BaseChoice,
): Promise<string> {
  const jobId = await catalog.value<string>('select backup.start_base()')
  await catalog.rows('select from backup._claim_job()')
  await catalog.rows('select backup._finish_base($1, $2)', [jobId, base(system, backupId, choice)], 'walt')
  return jobId
}
