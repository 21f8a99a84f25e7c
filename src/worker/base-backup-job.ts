import { randomBytes } from 'node:crypto'
import type { Logger } from 'pino'
import type { Box } from '../box/box.js'
import type { Grant } from '../box/grant.js'
import { backupManifestKey, formatBackupId, manifestKey, partKey, type Home } from '../box/key-names.js'
import { formatManifest, type Manifest, type PartEntry } from '../box/manifest.js'
import { createPart } from '../box/part.js'
import { restoreNote } from '../box/restore-note.js'
import type { Catalog, ClaimedJob } from '../catalog/catalog.js'
import type { Settings } from '../catalog/settings.js'
import { PostboxError } from '../errors.js'
import type { Secret } from '../secret.js'
import { readBackupFiles, type BackupFiles } from '../source/backup-label.js'
import { readBaseBackup, type BaseBackupEvent } from '../source/base-backup.js'
import { ReplicationConnection } from '../source/replication-connection.js'
import { identifyServer, type ServerIdentity } from '../source/server-identity.js'
import { compressFrame } from '../transform/compress.js'
import { FRAME_BYTES, FramePool } from '../transform/frame-pool.js'
import { inOrder } from '../transform/in-order.js'
import { PartBuilder, type BuiltPart } from '../transform/part-builder.js'
import { formatLsn, type Lsn } from '../wal/lsn.js'
import type { JobProgress } from './job-progress.js'
import { PartUploader } from './part-uploader.js'
import type { WalKeeper } from './wal-keeper.js'

export interface BaseBackupContext {
  databaseUrl: Secret
  catalog: Catalog
  box: Box
  grant: () => Grant
  settings: Settings
  wal: WalKeeper
  /** frames compressed at once */
  threads: number
  log: Logger
}

type Archive = Manifest['archives'][number]
type CompressedEvent = Exclude<BaseBackupEvent, { kind: 'frame' }> | { kind: 'frame'; frame: Buffer; rawBytes: number }

/**
 * Stores one base backup: its parts, Postgres's manifest, then, when all WAL that it needs is stored too, the manifest
 * that commits it. A run that ends early leaves parts that no manifest names.
 */
export async function runBaseBackup(
  job: ClaimedJob,
  context: BaseBackupContext,
  progress: JobProgress,
  signal: AbortSignal,
): Promise<void> {
  await context.wal.slotReady(signal)
  const connection = await ReplicationConnection.open(context.databaseUrl, 'postbox base backup')
  const close = () => {
    connection.close()
  }
  signal.addEventListener('abort', close, { once: true })
  try {
    const server = await identifyServer(connection)
    await new BaseBackupRun(job, context, progress, connection, server, signal).run()
  } catch (thrown) {
    // What fails because the connection was closed under it has failed because of the abort.
    signal.throwIfAborted()
    throw thrown
  } finally {
    signal.removeEventListener('abort', close)
    connection.close()
  }
}

class BaseBackupRun {
  readonly #startedAt = new Date()
  readonly #backupId = formatBackupId(this.#startedAt, randomBytes(2))
  readonly #home: Home
  readonly #uploader: PartUploader
  readonly #archives: Archive[] = []
  #backupManifest: PartEntry | null = null
  #files: BackupFiles | null = null
  #startLsn: Lsn = 0n
  #timeline = 0
  #stopLsn: Lsn = 0n

  constructor(
    readonly job: ClaimedJob,
    readonly context: BaseBackupContext,
    readonly progress: JobProgress,
    readonly connection: ReplicationConnection,
    readonly server: ServerIdentity,
    readonly signal: AbortSignal,
  ) {
    this.#home = { server: context.grant().server, systemIdentifier: server.systemIdentifier }
    const { upload_connections } = context.settings
    this.#uploader = new PartUploader(context.box, upload_connections, signal)
  }

  async run(): Promise<void> {
    const { catalog, wal, log } = this.context
    await this.#postRestoreNote()
    await this.#copy()
    const stoppedAt = await catalog.now()
    log.info({ backupId: this.#backupId, stopLsn: formatLsn(this.#stopLsn) }, 'all parts are stored')

    this.progress.enter('waiting for WAL')
    await wal.stored(this.#timeline, this.#stopLsn, this.signal)
    await this.#checkWal()

    this.progress.enter('committing')
    await this.#commit(stoppedAt)
  }

  /** Source → frames → parts → box. */
  async #copy(): Promise<void> {
    const { threads, settings, grant } = this.context
    const { label, checkpoint } = this.job.target
    const buffers = new FramePool(threads + 2)
    const options = { label: label ?? 'postbox', checkpoint, frameBytes: FRAME_BYTES }
    const events = readBaseBackup(this.connection, options, buffers)
    const compressed = inOrder(events, threads + 1, (event) => this.#compress(event, buffers))
    // Room for the frame that crosses the limit, which the grant sets.
    const partBytes = Math.min(settings.part_bytes, grant().max_part_bytes)
    const builder = new PartBuilder(partBytes)
    let target: Archive | 'manifest' | null = null
    for await (const event of compressed) {
      if (event.kind === 'start') this.#begin(event)
      else if (event.kind === 'archive') target = this.#openArchive(event)
      else if (event.kind === 'manifest') target = 'manifest'
      else if (event.kind === 'end') this.#stopLsn = event.stopLsn
      else {
        const part = event.kind === 'frame' ? builder.add(event.frame, event.rawBytes) : builder.finish()
        if (part) await this.#upload(target!, part)
      }
    }
    await this.#uploader.drain()
  }

  async #compress(event: BaseBackupEvent, buffers: FramePool): Promise<CompressedEvent> {
    if (event.kind !== 'frame') return event
    const raw = event.buffer.subarray(0, event.bytes)
    // The very first bytes of base.tar hold backup_label.
    this.#files ??= readBackupFiles(raw)
    const frame = await compressFrame(raw, this.context.settings.compression_level)
    buffers.release(event.buffer)
    return { kind: 'frame', frame, rawBytes: event.bytes }
  }

  #begin(start: Extract<BaseBackupEvent, { kind: 'start' }>): void {
    this.#startLsn = start.startLsn
    this.#timeline = start.timeline
    this.progress.expect(start.estimatedBytes)
    this.progress.enter('copying')
  }

  #openArchive({ tablespace, location }: { tablespace: string; location: string | null }): Archive {
    const archive: Archive = { tablespace, location, parts: [] }
    this.#archives.push(archive)
    return archive
  }

  async #upload(target: Archive | 'manifest', built: BuiltPart): Promise<void> {
    const key =
      target === 'manifest'
        ? backupManifestKey(this.#home, this.#backupId, built.sha256)
        : partKey(this.#home, this.#backupId, target.tablespace, target.parts.length, built.sha256)
    const entry: PartEntry = {
      key,
      bytes: built.bytes,
      sha256: built.sha256.toString('hex'),
      raw_bytes: built.rawBytes,
    }
    if (target === 'manifest') this.#backupManifest = entry
    else target.parts.push(entry)
    await this.#uploader.add({ ...built, key, contentType: 'application/zstd' }, async () => {
      // Last, so the catalog never names an object that is not there.
      await this.#record(target === 'manifest' ? 'backup_manifest' : 'base_part', entry)
      if (target !== 'manifest') this.progress.add(built.rawBytes)
    })
  }

  async #record(kind: string, entry: PartEntry): Promise<void> {
    await this.context.catalog.recordObject(this.job.job_id, {
      kind,
      key: entry.key,
      bytes: entry.bytes,
      raw_bytes: entry.raw_bytes,
      sha256: Buffer.from(entry.sha256, 'hex'),
    })
  }

  async #postRestoreNote(): Promise<void> {
    const note = restoreNote(this.#home.server)
    await this.context.box.post(createPart(note.key, [note.content], 'text/markdown'), this.signal)
  }

  /** The keeper's position says how far it came; only the catalog knows that nothing is missing before it. */
  async #checkWal(): Promise<void> {
    const { catalog } = this.context
    const covered = await catalog.coversWal(this.#home.systemIdentifier, this.#timeline, this.#startLsn, this.#stopLsn)
    if (!covered) {
      throw new PostboxError(
        'wal_missing',
        `WAL from ${formatLsn(this.#startLsn)} to ${formatLsn(this.#stopLsn)} is not stored without a gap`,
        'See backup.wal_gaps; Postbox makes the base backup again while attempts are left.',
      )
    }
  }

  async #commit(stoppedAt: Date): Promise<void> {
    const { catalog, box, log } = this.context
    const manifest = await this.#manifest(stoppedAt)
    const content = formatManifest(manifest)
    const unnamed = createPart('', [content], 'application/json')
    const part = { ...unnamed, key: manifestKey(this.#home, this.#backupId, unnamed.sha256) }
    this.signal.throwIfAborted()
    await box.post(part, this.signal)
    const parts = this.#archives.flatMap((archive) => archive.parts)
    await catalog.finishBase(this.job.job_id, {
      backup_id: this.#backupId,
      label: manifest.label,
      system_identifier: manifest.system_identifier,
      timeline: manifest.timeline,
      start_lsn: this.#startLsn,
      stop_lsn: this.#stopLsn,
      started_at: this.#startedAt,
      stopped_at: stoppedAt,
      raw_bytes: parts.reduce((sum, entry) => sum + entry.raw_bytes, 0),
      stored_bytes: parts.reduce((sum, entry) => sum + entry.bytes, 0),
      parts: parts.length,
      manifest_key: part.key,
      manifest_sha256: part.sha256,
      postgres_version_num: manifest.postgres_version_num,
    })
    log.info({ backupId: this.#backupId }, 'the base backup is committed')
  }

  async #manifest(stoppedAt: Date): Promise<Manifest> {
    const previous = await this.context.catalog.previousManifest(this.#home.systemIdentifier)
    return {
      postbox_manifest: 1,
      kind: 'base',
      server: this.#home.server,
      system_identifier: this.#home.systemIdentifier,
      backup_id: this.#backupId,
      label: this.job.target.label,
      postgres_version_num: this.server.versionNum,
      wal_segment_bytes: this.server.segmentBytes,
      timeline: this.#timeline,
      start_lsn: formatLsn(this.#startLsn),
      stop_lsn: formatLsn(this.#stopLsn),
      started_at: this.#startedAt.toISOString(),
      stopped_at: stoppedAt.toISOString(),
      backup_label: this.#files!.backupLabel,
      tablespace_map: this.#files!.tablespaceMap,
      parent: null,
      archives: this.#archives,
      backup_manifest: this.#backupManifest!,
      previous_manifest_sha256: previous?.toString('hex') ?? null,
    }
  }
}
