import { randomBytes } from 'node:crypto'
import type { Logger } from 'pino'
import type { Box, Part } from '../box/box.js'
import type { Grant } from '../box/grant.js'
import { formatBackupId, manifestKey, type Home } from '../box/key-names.js'
import { formatManifest, type Manifest } from '../box/manifest.js'
import { createPart } from '../box/part.js'
import { restoreNote } from '../box/restore-note.js'
import type { BaseJob, Catalog, ClaimedJob, StoredObject } from '../catalog/catalog.js'
import type { Settings } from '../catalog/settings.js'
import { PostboxError } from '../errors.js'
import type { ReplicationConnection } from '../source/replication-connection.js'
import type { ServerIdentity } from '../source/server-identity.js'
import { frameBytesFor } from '../transform/frame-pool.js'
import { formatLsn, type Lsn } from '../wal/lsn.js'
import { BackupCopy, type CopiedBackup } from './base-backup-copy.js'
import { jobCanceled } from './job-canceled.js'
import type { JobProgress } from './job-progress.js'
import { PartUploader } from './part-uploader.js'
import type { Source } from './source.js'
import { earliestTime, endOfStandbyBackup } from './standby-backup.js'

/** What a backup must know of the WAL that is stored beside it. */
export interface WalPosition {
  /** Resolves once the slot keeps WAL: what is written from then on will be stored. */
  slotReady(signal: AbortSignal): Promise<void>
  /** Resolves when WAL up to `lsn` is in the box and its rows are in the catalog. */
  stored(timeline: number, lsn: Lsn, signal: AbortSignal): Promise<void>
}

export interface JobContext {
  catalog: Catalog
  box: Box
  grant: () => Grant
  settings: Settings
  /** frames compressed at once */
  threads: number
  log: Logger
}

export interface BaseBackupContext extends JobContext {
  source: Source
  wal: WalPosition
}

export interface JobSignals {
  /** the job was canceled, or the worker ends */
  signal: AbortSignal
  /** the worker ends */
  workerSignal: AbortSignal
}

/** How the backup's own session shows in pg_stat_activity. */
const APPLICATION_NAME = 'postbox base backup'

/** One backup under way: who it is. */
interface Backup {
  job: BaseJob
  home: Home
  backupId: string
  startedAt: Date
  server: ServerIdentity
}

/**
 * Stores one base backup: its parts, Postgres's manifest, then, when all WAL that it needs is stored too, the manifest
 * that commits it. A run that ends early leaves parts that no manifest names.
 */
export async function runBaseBackup(
  job: BaseJob,
  context: BaseBackupContext,
  progress: JobProgress,
  { signal, workerSignal }: JobSignals,
): Promise<void> {
  const { catalog, wal, log, source } = context
  await wal.slotReady(signal)
  const { server: serverName } = context.grant()
  const { connection, server } = await source.open(APPLICATION_NAME, signal)
  try {
    const startedAt = new Date()
    const backupId = formatBackupId(startedAt, randomBytes(2))
    const home = { server: serverName, systemIdentifier: server.systemIdentifier }
    const backup = { job, home, backupId, startedAt, server }
    await postRestoreNote(context, job, serverName, signal)

    const copied = await copy(backup, context, progress, connection, signal)
    const end = server.inRecovery ? await endOfStandbyBackup(source, catalog, copied, log) : await catalog.now()
    log.info({ backupId, stopLsn: formatLsn(copied.stopLsn) }, 'all parts are stored')

    progress.enter('waiting for WAL')
    await wal.stored(copied.timeline, copied.stopLsn, signal)
    await checkWal(catalog, home, copied)
    const stoppedAt = end instanceof Date ? end : await earliestTime(catalog, home, copied, end)

    progress.enter('committing')
    await progress.stop()
    if (await catalog.isCancelRequested(job.job_id)) throw jobCanceled(job.job_id)
    // From here on a cancellation comes too late: a manifest half posted would be neither there nor gone.
    await commit(backup, copied, stoppedAt, context, workerSignal)
    log.info({ backupId }, 'the base backup is committed')
  } catch (thrown) {
    // What fails because the connection was closed under it has failed because of the abort.
    signal.throwIfAborted()
    throw thrown
  } finally {
    connection.close()
    if (signal.aborted) {
      await source.ask((asked) => asked.endProcess(connection.pid, APPLICATION_NAME)).catch(() => undefined)
    }
  }
}

/** Stores the note that says how to restore by hand; again and again, so that it is of this version. */
export async function postRestoreNote(
  { box, catalog }: JobContext,
  job: ClaimedJob,
  server: string,
  signal: AbortSignal,
): Promise<void> {
  const note = restoreNote(server)
  const part = createPart(note.key, [note.content], 'text/markdown')
  await box.post(part, signal)
  await catalog.recordObject(job.job_id, unpacked('restore_note', part))
}

/** The row of an object that is stored as it is. */
function unpacked(kind: 'restore_note' | 'manifest', { key, bytes, sha256 }: Part): StoredObject {
  return { kind, key, bytes, raw_bytes: bytes, sha256 }
}

async function copy(
  { job, home, backupId }: Backup,
  { catalog, box, settings, threads, grant }: BaseBackupContext,
  progress: JobProgress,
  connection: ReplicationConnection,
  signal: AbortSignal,
): Promise<CopiedBackup> {
  const uploader = new PartUploader(box, settings.upload_connections, signal)
  const options = {
    home,
    backupId,
    label: job.target.label ?? 'postbox',
    checkpoint: job.target.checkpoint,
    compressionLevel: settings.compression_level,
    ...partSizes(settings, grant()),
    threads,
    onBegin: (estimatedBytes: number) => {
      progress.expect(estimatedBytes)
      progress.enter('copying')
    },
    onStored: async (kind: 'base_part' | 'backup_manifest', { sha256, ...entry }: CopiedBackup['backupManifest']) => {
      await catalog.recordObject(job.job_id, { kind, ...entry, sha256: Buffer.from(sha256, 'hex') })
      if (kind === 'base_part') progress.add(entry.raw_bytes)
    },
  }
  return new BackupCopy(options, connection, uploader).run()
}

/** The grant may allow less than what was configured, and no frame may be larger than a part. */
export function partSizes(
  settings: Pick<Settings, 'part_bytes'>,
  { max_part_bytes }: Pick<Grant, 'max_part_bytes'>,
): { partBytes: number; frameBytes: number } {
  const partBytes = Math.min(settings.part_bytes, max_part_bytes)
  const frameBytes = frameBytesFor(partBytes)
  if (frameBytes !== null) return { partBytes, frameBytes }
  throw new PostboxError(
    'part_too_large',
    `the grant allows objects of ${max_part_bytes} bytes, which is too little for a part`,
    'Sign grants with --max-part-bytes 1MiB or more.',
  )
}

/** The keeper's position says how far it came; only the catalog knows that nothing is missing before it. */
async function checkWal(catalog: Catalog, home: Home, { timeline, startLsn, stopLsn }: CopiedBackup): Promise<void> {
  if (await catalog.coversWal(home.systemIdentifier, timeline, startLsn, stopLsn)) return
  throw new PostboxError(
    'wal_missing',
    `WAL from ${formatLsn(startLsn)} to ${formatLsn(stopLsn)} is not stored without a gap`,
    'See backup.wal_gaps, then start another base backup.',
  )
}

/** Posts the manifest, then marks the job done: a crash between the two leaves a whole backup and a job to repeat. */
async function commit(
  backup: Backup,
  copied: CopiedBackup,
  stoppedAt: Date,
  { catalog, box }: BaseBackupContext,
  signal: AbortSignal,
): Promise<void> {
  const { job, home, backupId, startedAt, server } = backup
  const { systemIdentifier } = home
  const links = {
    stop_segment_key: await catalog.keyOfSegmentBefore(
      systemIdentifier,
      copied.timeline,
      copied.stopLsn,
      server.segmentBytes,
    ),
    previous_manifest_sha256: (await catalog.previousManifest(systemIdentifier))?.toString('hex') ?? null,
  }
  const manifest = makeManifest(backup, copied, stoppedAt, links)
  const unnamed = createPart('', [formatManifest(manifest)], 'application/json')
  const part = { ...unnamed, key: manifestKey(home, backupId, unnamed.sha256) }
  await box.post(part, signal)
  await catalog.recordObject(job.job_id, unpacked('manifest', part))
  const parts = copied.archives.flatMap((archive) => archive.parts)
  await catalog.finishBase(job.job_id, {
    backup_id: backupId,
    label: manifest.label,
    system_identifier: manifest.system_identifier,
    timeline: copied.timeline,
    start_lsn: copied.startLsn,
    stop_lsn: copied.stopLsn,
    started_at: startedAt,
    stopped_at: stoppedAt,
    raw_bytes: parts.reduce((sum, entry) => sum + entry.raw_bytes, 0),
    stored_bytes: parts.reduce((sum, entry) => sum + entry.bytes, 0),
    parts: parts.length,
    manifest_key: part.key,
    manifest_sha256: part.sha256,
    postgres_version_num: manifest.postgres_version_num,
  })
}

function makeManifest(
  { job, home, backupId, startedAt, server }: Backup,
  copied: CopiedBackup,
  stoppedAt: Date,
  links: Pick<Manifest, 'stop_segment_key' | 'previous_manifest_sha256'>,
): Manifest {
  return {
    postbox_manifest: 1,
    kind: 'base',
    server: home.server,
    system_identifier: home.systemIdentifier,
    backup_id: backupId,
    label: job.target.label,
    postgres_version_num: server.versionNum,
    wal_segment_bytes: server.segmentBytes,
    timeline: copied.timeline,
    start_lsn: formatLsn(copied.startLsn),
    stop_lsn: formatLsn(copied.stopLsn),
    started_at: startedAt.toISOString(),
    stopped_at: stoppedAt.toISOString(),
    backup_label: copied.backupLabel,
    tablespace_map: copied.tablespaceMap,
    parent: null,
    archives: copied.archives,
    backup_manifest: copied.backupManifest,
    ...links,
  }
}
