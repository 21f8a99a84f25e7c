import { backupManifestKey, partKey, type Home } from '../box/key-names.js'
import type { Manifest, PartEntry } from '../box/manifest.js'
import { PostboxError } from '../errors.js'
import { readBackupFiles, type BackupFiles } from '../source/backup-label.js'
import { readBaseBackup, type BaseBackupEvent } from '../source/base-backup.js'
import type { ReplicationConnection } from '../source/replication-connection.js'
import { CompressThreads } from '../transform/compress-threads.js'
import { FramePool, sharedMemory } from '../transform/frame-pool.js'
import { giveBack } from '../transform/give-back.js'
import { inOrder } from '../transform/in-order.js'
import { PartBuilder, type BuiltPart } from '../transform/part-builder.js'
import type { Lsn } from '../wal/lsn.js'
import type { PartUploader } from './part-uploader.js'

type Archive = Manifest['archives'][number]
type CompressedEvent = Exclude<BaseBackupEvent, { kind: 'frame' }> | { kind: 'frame'; frame: Buffer; rawBytes: number }

/** What a base backup left in the box, as its manifest names it. */
export interface CopiedBackup extends BackupFiles {
  timeline: number
  startLsn: Lsn
  stopLsn: Lsn
  archives: Archive[]
  backupManifest: PartEntry
}

export interface BackupCopyOptions {
  home: Home
  backupId: string
  label: string
  checkpoint: 'fast' | 'spread'
  compressionLevel: number
  partBytes: number
  /** input of one frame; its compressed form must fit into a part */
  frameBytes: number
  /** frames compressed at once */
  threads: number
  onBegin: (estimatedBytes: number) => void
  /** a part lies in the box; called before it counts as done */
  onStored: (kind: 'base_part' | 'backup_manifest', entry: PartEntry) => Promise<void>
}

/** Copies one base backup: source → frames → parts → box. */
export class BackupCopy {
  readonly #archives: Archive[] = []
  #backupManifest: PartEntry | null = null
  #files: BackupFiles | null = null
  /** archive whose frames come from the source now */
  #reading = ''
  #start: Extract<BaseBackupEvent, { kind: 'start' }> | null = null
  #stopLsn: Lsn = 0n

  readonly #threads: CompressThreads
  /** what the source fills */
  readonly #buffers: FramePool
  /** what is posted, or grows until it is */
  readonly #parts: FramePool

  constructor(
    readonly options: BackupCopyOptions,
    readonly connection: ReplicationConnection,
    readonly uploader: PartUploader,
  ) {
    const { threads, partBytes } = options
    this.#threads = new CompressThreads(threads)
    this.#buffers = new FramePool(threads + 2, undefined, sharedMemory)
    this.#parts = new FramePool(uploader.connections + 1, partBytes, sharedMemory)
  }

  /** Resolves when every part is stored. Rejects as the source or the box do. */
  async run(): Promise<CopiedBackup> {
    try {
      await this.#copy()
    } finally {
      await this.#threads.close()
    }
    const { startLsn, timeline } = this.#start!
    return {
      ...this.#files!,
      timeline,
      startLsn,
      stopLsn: this.#stopLsn,
      archives: this.#archives.toSorted((a, b) => Number(b.tablespace === 'base') - Number(a.tablespace === 'base')),
      backupManifest: this.#backupManifest!,
    }
  }

  async #copy(): Promise<void> {
    const { threads, label, checkpoint, frameBytes } = this.options
    const events = readBaseBackup(this.connection, { label, checkpoint, frameBytes }, this.#buffers)
    const builder = new PartBuilder(this.#parts)
    let target: Archive | 'manifest' | null = null
    for await (const event of inOrder(events, threads + 1, (each) => this.#compress(each))) {
      if (event.kind === 'start') this.#begin(event)
      else if (event.kind === 'archive') target = this.#openArchive(event.tablespace, event.location)
      else if (event.kind === 'manifest') target = 'manifest'
      else if (event.kind === 'end') this.#end(event)
      else {
        // A part never reaches over the end of its archive.
        const part = event.kind === 'frame' ? builder.add(event.frame, event.rawBytes) : builder.finish()
        if (event.kind === 'frame') giveBack(event.frame)
        if (part) await this.#upload(target!, part)
      }
    }
    await this.uploader.drain()
  }

  #begin(start: Extract<BaseBackupEvent, { kind: 'start' }>): void {
    this.#start = start
    this.options.onBegin(start.estimatedBytes)
  }

  /** A standby may follow a failover meanwhile. No single timeline has the WAL of such a backup, nor leads to it. */
  #end({ stopLsn, timeline }: Extract<BaseBackupEvent, { kind: 'end' }>): void {
    this.#stopLsn = stopLsn
    if (timeline === this.#start!.timeline) return
    throw new PostboxError(
      'replication_failed',
      `the base backup began on timeline ${this.#start!.timeline} and ended on ${timeline}`,
      'There was a failover meanwhile; Postbox tries again.',
    )
  }

  async #compress(event: BaseBackupEvent): Promise<CompressedEvent> {
    if (event.kind === 'archive') this.#reading = event.tablespace
    if (event.kind !== 'frame') return event
    const raw = event.buffer.subarray(0, event.bytes)
    // The server sends tablespaces first and base last; backup_label is the first file of base.
    if (this.#reading === 'base') this.#files ??= readBackupFiles(raw)
    const frame = await this.#threads.compressFrame(raw, this.options.compressionLevel)
    this.#buffers.release(event.buffer)
    return { kind: 'frame', frame, rawBytes: event.bytes }
  }

  #openArchive(tablespace: string, location: string | null): Archive {
    const archive: Archive = { tablespace, location, parts: [] }
    this.#archives.push(archive)
    return archive
  }

  async #upload(target: Archive | 'manifest', built: BuiltPart): Promise<void> {
    const { home, backupId, onStored } = this.options
    const key =
      target === 'manifest'
        ? backupManifestKey(home, backupId, built.sha256)
        : partKey(home, backupId, target.tablespace, target.parts.length, built.sha256)
    const sha256 = built.sha256.toString('hex')
    const entry: PartEntry = { key, bytes: built.bytes, sha256, raw_bytes: built.rawBytes }
    if (target === 'manifest') this.#backupManifest = entry
    else target.parts.push(entry)
    const kind = target === 'manifest' ? 'backup_manifest' : 'base_part'
    const chunks = [built.memory.subarray(0, built.bytes)]
    await this.uploader.add({ ...built, key, chunks, contentType: 'application/zstd' }, () => {
      // The box has said that it has every byte.
      this.#parts.release(built.memory)
      return onStored(kind, entry)
    })
  }
}
