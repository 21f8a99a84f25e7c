import type { PostCounts } from '../box/post-counts.js'
import type { Grant } from '../box/grant.js'
import type { ClaimedJob } from '../catalog/catalog.js'
import type { Settings } from '../catalog/settings.js'
import type { LogLevel } from '../config.js'
import type { PlainError } from '../plain-error.js'
import type { Lsn } from '../wal/lsn.js'

/** What a job thread is started with. Copied into it, so everything is plain data. */
export interface JobThreadData {
  job: ClaimedJob
  databaseUrl: string
  /** none: where the catalog is */
  sourceUrls: string[]
  ca: string | undefined
  threads: number
  logLevel: LogLevel
  settings: Settings
  grant: Grant
}

/** From the job thread to the worker. Each `ask` is answered by its id. */
export type FromJob =
  | { kind: 'ask'; id: number; question: Question }
  /** what was counted since the last time */
  | { kind: 'counts'; counts: PostCounts }
  | { kind: 'ended'; error: PlainError | null }

/** What only the worker's main thread knows. */
export type Question =
  | { what: 'slot_ready' }
  /** answered when WAL up to `lsn` is stored and recorded */
  | { what: 'wal_stored'; timeline: number; lsn: Lsn }
  /** answered with whether there is a newer grant, which was sent before */
  | { what: 'newer_grant' }

/** From the worker to the job thread. */
export type ToJob =
  | { kind: 'answer'; id: number; value: boolean; error: PlainError | null }
  | { kind: 'grant'; grant: Grant }
  /** `upload_rate_limit` */
  | { kind: 'rate'; bytesPerSecond: number }
  /** WAL took so much of the line */
  | { kind: 'debit'; bytes: number }
  | { kind: 'check_canceled' }
  /** the worker ends */
  | { kind: 'abort'; error: PlainError }
