/**
 * Every way Postbox can fail, by its stable code.
 *
 * `true`: trying the same thing again, later, may help.
 */
const retryableByCode = {
  // arguments and settings
  bad_argument: false,
  config_missing: false,
  config_invalid: false,
  interrupted: false,
  not_installed: false,
  // the database
  database_unavailable: true,
  database_refused: false,
  postgres_too_old: false,
  catalog_missing: false,
  catalog_refused: false,
  replication_right_missing: false,
  wal_senders_exhausted: true,
  slot_invalid: false,
  replication_failed: true,
  wal_invalid: false,
  data_damaged: false,
  dump_failed: true,
  dump_refused: false,
  dump_tool_missing: false,
  dump_too_long: false,
  script_invalid: false,
  // grants
  grant_missing: true,
  grant_invalid: false,
  grant_expired: false,
  grant_refused: false,
  issuer_unavailable: true,
  issuer_refused: false,
  clock_skew: false,
  // the keyholder's own S3 keys
  credentials_missing: false,
  credentials_expired: true,
  // the box
  box_unavailable: true,
  box_refused: false,
  box_missing: false,
  box_region_wrong: false,
  box_post_unsupported: false,
  box_damaged: true,
  box_answer_wrong: true,
  part_too_large: false,
  webhook_failed: true,
  // jobs
  job_canceled: false,
  job_not_running: false,
  worker_lost: true,
  server_restored: false,
  worker_unreachable: true,
  // what the catalog was told before and now is told otherwise
  wal_conflict: false,
  object_conflict: false,
  // the archive
  archive_unavailable: true,
  archive_refused: false,
  backup_missing: false,
  manifest_invalid: false,
  object_missing: false,
  object_damaged: false,
  wal_missing: false,
  target_unreachable: false,
  data_dir_not_empty: false,
  postgres_missing: false,
  drill_failed: false,
  database_not_empty: false,
  dump_masked: false,
  restore_failed: false,
  // what should not happen
  internal: false,
} as const

export type ErrorCode = keyof typeof retryableByCode

/** All of them, in the order of their groups. */
export const errorCodes = Object.keys(retryableByCode) as ErrorCode[]

export interface PostboxErrorOptions {
  cause?: unknown
  /** Milliseconds that the other side asked us to wait before the next try (`Retry-After`). */
  retryAfterMs?: number
}

/**
 * The one error class: a stable code, what happened, and what the operator can do about it.
 *
 * Message: lower case, no full stop, names the thing. Hint: a sentence.
 */
export class PostboxError extends Error {
  override readonly name = 'PostboxError'
  readonly retryAfterMs: number | undefined

  constructor(
    readonly code: ErrorCode,
    message: string,
    readonly hint: string,
    options: PostboxErrorOptions = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.retryAfterMs = options.retryAfterMs
  }

  /** Whether the same thing, tried again later, may succeed. Asked by the box's retry and by the worker only. */
  get retryable(): boolean {
    return retryableByCode[this.code]
  }
}

/** Any thrown value as a PostboxError; what is not one already becomes `internal`, its cause kept. */
export function asPostboxError(thrown: unknown): PostboxError {
  if (thrown instanceof PostboxError) return thrown
  const message = thrown instanceof Error ? thrown.message : String(thrown)
  return new PostboxError('internal', message, 'This is a defect in Postbox: please report it with the log.', {
    cause: thrown,
  })
}
