import { dumpManifestKey } from '../box/key-names.js'
import { formatDumpManifest, partsOfDump, type DumpManifest } from '../box/dump-manifest.js'
import { createPart } from '../box/part.js'
import type { DumpJob } from '../catalog/catalog.js'
import { PostboxError } from '../errors.js'
import type { Secret } from '../secret.js'
import { dumpError } from '../source/dump-session.js'
import { postRestoreNote, type JobContext, type JobSignals } from './base-backup-job.js'
import { DumpSessions } from './dump-sessions.js'
import { jobCanceled } from './job-canceled.js'
import type { JobProgress } from './job-progress.js'
import { takeDump } from './take-dump.js'

export interface DumpContext extends JobContext {
  databaseUrl: Secret
}

/** What setTimeout can take. */
const LONGEST_MS = 2 ** 31 - 1

/**
 * Stores one dump: definitions, rows, then the manifest that commits it. A run that ends early leaves parts that no
 * manifest names, and no session.
 */
export async function runDump(
  job: DumpJob,
  context: DumpContext,
  progress: JobProgress,
  { signal: canceled, workerSignal }: JobSignals,
): Promise<void> {
  const { settings, catalog, databaseUrl } = context
  const ending = new AbortController()
  const limit = setTimeout(
    () => {
      ending.abort(tooLong(settings.dump_max_duration))
    },
    Math.min(settings.dump_max_duration * 1000, LONGEST_MS),
  )
  const signal = AbortSignal.any([canceled, ending.signal])
  const applicationName = `postbox dump ${job.job_id}`
  const { row_security: rowSecurity } = job.target
  const sessions = new DumpSessions({ databaseUrl, applicationName, rowSecurity }, catalog, signal)
  let manifest: DumpManifest
  try {
    await postRestoreNote(context, job, context.grant().server, signal)
    manifest = await takeDump(job, context, progress, sessions, signal)
  } catch (thrown) {
    // Whatever else is under way for it ends too.
    ending.abort(thrown)
    // What fails because its session was closed has failed because of the abort.
    canceled.throwIfAborted()
    throw dumpError('the database', ending.signal.reason)
  } finally {
    clearTimeout(limit)
    await sessions.close()
  }
  progress.enter('committing')
  await progress.stop()
  if (await catalog.isCancelRequested(job.job_id)) throw jobCanceled(job.job_id)
  // From here on a cancellation comes too late: a manifest half posted would be neither there nor gone.
  await commit(job, manifest, context, workerSignal)
}

function tooLong(seconds: number): PostboxError {
  return new PostboxError(
    'dump_too_long',
    `the dump took longer than dump_max_duration, ${seconds} seconds`,
    'Its snapshot held back vacuum: dump less at once, with more connections, or raise the setting.',
  )
}

/** Posts the manifest, then marks the job done: a crash between the two leaves a whole dump and a job to repeat. */
async function commit(
  job: DumpJob,
  manifest: DumpManifest,
  { catalog, box, log }: JobContext,
  signal: AbortSignal,
): Promise<void> {
  const { server, system_identifier, dump_id, tables } = manifest
  const unnamed = createPart('', [formatDumpManifest(manifest)], 'application/json')
  const key = dumpManifestKey({ server, systemIdentifier: system_identifier }, dump_id, unnamed.sha256)
  const { bytes, sha256 } = unnamed
  await box.post({ ...unnamed, key }, signal)
  await catalog.recordObject(job.job_id, { kind: 'dump_manifest', key, bytes, raw_bytes: bytes, sha256 })
  const parts = partsOfDump(manifest)
  await catalog.finishDump(job.job_id, {
    dump_id,
    label: manifest.label,
    system_identifier,
    database_name: manifest.database,
    snapshot_lsn: manifest.snapshot_lsn,
    snapshot_at: new Date(manifest.snapshot_at),
    whole: manifest.whole,
    masked: manifest.masked,
    tables: tables.length,
    table_rows: tables.reduce((sum, { rows }) => sum + rows, 0),
    raw_bytes: parts.reduce((sum, entry) => sum + entry.raw_bytes, 0),
    stored_bytes: parts.reduce((sum, entry) => sum + entry.bytes, 0),
    manifest_key: key,
    postgres_version_num: manifest.postgres_version_num,
    warnings: manifest.warnings,
  })
  log.info({ dumpId: dump_id }, 'the dump is committed')
}
