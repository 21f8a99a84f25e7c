import { createHash, randomBytes } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { zstdCompressSync } from 'node:zlib'
import {
  backupManifestKey,
  formatBackupId,
  historyKey,
  manifestKey,
  partKey,
  segmentKey,
  type Home,
} from '../../src/box/key-names.js'
import { formatManifest, type Manifest, type PartEntry } from '../../src/box/manifest.js'
import { Secret } from '../../src/secret.js'
import { readBackupFiles } from '../../src/source/backup-label.js'
import { readBaseBackup } from '../../src/source/base-backup.js'
import { ReplicationConnection } from '../../src/source/replication-connection.js'
import { FramePool } from '../../src/transform/frame-pool.js'
import { formatLsn, parseLsn } from '../../src/wal/lsn.js'
import { parseSegmentName, segmentStart } from '../../src/wal/segment.js'
import type { SandboxPostgres } from './postgres.js'
import type { Bucket } from './s3/store.js'

const sha256 = (content: Buffer): Buffer => createHash('sha256').update(content).digest()

/** Writes the format of the bucket straight into a sandbox bucket: an archive without worker, grant or POST. */
export class ArchiveMaker {
  #previous: string | null = null
  readonly #stored = new Set<string>()

  private constructor(
    readonly postgres: SandboxPostgres,
    readonly bucket: Bucket,
    readonly home: Home,
    readonly segmentBytes: number,
  ) {}

  static async open(postgres: SandboxPostgres, bucket: Bucket, server = 'db1'): Promise<ArchiveMaker> {
    const [row] = await postgres.query<{ system_identifier: string; bytes: string }>(
      "select system_identifier, pg_size_bytes(current_setting('wal_segment_size')) bytes from pg_control_system()",
    )
    return new ArchiveMaker(postgres, bucket, { server, systemIdentifier: row!.system_identifier }, Number(row!.bytes))
  }

  /** Takes a base backup into parts of `partBytes` of tar, each of several frames, and commits it. */
  async backUp({
    label = null as string | null,
    partBytes = 1024 * 1024,
    wal = true,
    // called once, while the server waits for the reader in the middle of the backup
    meanwhile = (): Promise<void> => Promise.resolve(),
  } = {}): Promise<Manifest> {
    const startedAt = new Date()
    const backupId = formatBackupId(startedAt, randomBytes(2))
    const archives: { tablespace: string; location: string | null; tar: Buffer }[] = []
    const lsns = { start: 0n, stop: 0n, timeline: 0 }
    for await (const event of this.#read(label ?? '', meanwhile)) {
      if (event.kind === 'start') Object.assign(lsns, { start: event.startLsn, timeline: event.timeline })
      if (event.kind === 'end') lsns.stop = event.stopLsn
      if (event.kind === 'tar') archives.push(event)
    }
    const base = archives.find((one) => one.tablespace === 'base')!
    const { backupLabel, tablespaceMap } = readBackupFiles(base.tar)
    const postgresManifest = archives.find((one) => one.tablespace === 'manifest')!.tar
    const [version] = await this.postgres.query<{ num: string; now: Date }>(
      "select current_setting('server_version_num') num, clock_timestamp() now",
    )
    const manifest: Manifest = {
      postbox_manifest: 1,
      kind: 'base',
      server: this.home.server,
      system_identifier: this.home.systemIdentifier,
      backup_id: backupId,
      label,
      postgres_version_num: Number(version!.num),
      wal_segment_bytes: this.segmentBytes,
      timeline: lsns.timeline,
      start_lsn: formatLsn(lsns.start),
      stop_lsn: formatLsn(lsns.stop),
      started_at: startedAt.toISOString(),
      // Up to the next millisecond, so that a commit before the end is not after it.
      stopped_at: new Date(version!.now.getTime() + 1).toISOString(),
      backup_label: backupLabel,
      tablespace_map: tablespaceMap,
      parent: null,
      archives: [base, ...archives.filter((one) => one !== base && one.tablespace !== 'manifest')].map((one) => ({
        tablespace: one.tablespace,
        location: one.location,
        parts: this.#storeParts(backupId, one.tablespace, one.tar, partBytes),
      })),
      backup_manifest: this.#put(postgresManifest, (stored) => backupManifestKey(this.home, backupId, stored)),
      previous_manifest_sha256: this.#previous,
    }
    const json = formatManifest(manifest)
    this.#previous = sha256(json).toString('hex')
    this.bucket.put(manifestKey(this.home, backupId, sha256(json)), json)
    if (wal) await this.storeWal()
    return manifest
  }

  /** Finishes the current segment and stores every finished one, and every history file. Returns new segments' names. */
  async storeWal(): Promise<string[]> {
    await this.postgres.query('select pg_switch_wal()')
    const [row] = await this.postgres.query<{ lsn: string; name: string }>(
      'select pg_current_wal_insert_lsn()::text as lsn, pg_walfile_name(pg_current_wal_insert_lsn()) as name',
    )
    const current = Number.parseInt(row!.name.slice(0, 8), 16)
    // What lies behind the end is recycled: old bytes under a name of the future.
    const end = segmentStart(parseLsn(row!.lsn), this.segmentBytes)
    const directory = join(this.postgres.dataDir, 'pg_wal')
    const names: string[] = []
    for (const name of (await readdir(directory)).sort()) {
      const history = /^([0-9A-F]{8})\.history$/.exec(name)
      if (history) {
        const raw = await readFile(join(directory, name))
        this.bucket.put(historyKey(this.home, Number.parseInt(history[1]!, 16), sha256(raw)), raw)
      }
      if (!/^[0-9A-F]{24}$/.test(name) || this.#stored.has(name)) continue
      const { timeline, start } = parseSegmentName(name, this.segmentBytes)
      if (timeline > current || start >= end) continue
      this.storeSegment(name, await readFile(join(directory, name)))
      names.push(name)
    }
    return names
  }

  /** Stores bytes under a segment's name, whatever they are. Returns the key. */
  storeSegment(name: string, raw: Buffer, storedAt = new Date()): string {
    const key = segmentKey(this.home, parseSegmentName(name, this.segmentBytes), this.segmentBytes, sha256(raw))
    this.bucket.put(key, zstdCompressSync(raw), { storedAt })
    this.#stored.add(name)
    return key
  }

  #storeParts(backupId: string, tablespace: string, tar: Buffer, partBytes: number): PartEntry[] {
    const parts: PartEntry[] = []
    for (let at = 0; at < tar.length; at += partBytes) {
      const index = parts.length
      const piece = tar.subarray(at, at + partBytes)
      parts.push(this.#put(piece, (stored) => partKey(this.home, backupId, tablespace, index, stored)))
    }
    return parts
  }

  #put(raw: Buffer, key: (stored: Buffer) => string): PartEntry {
    // Frames of an odd size, so that headers and contents lie across them.
    const frames: Buffer[] = []
    for (let at = 0; at < raw.length; at += 300_007) frames.push(zstdCompressSync(raw.subarray(at, at + 300_007)))
    const stored = Buffer.concat(frames)
    const entry = { key: key(sha256(stored)), bytes: stored.length, sha256: sha256(stored).toString('hex') }
    this.bucket.put(entry.key, stored)
    return { ...entry, raw_bytes: raw.length }
  }

  /** The source's events, with the frames of each archive joined. */
  async *#read(label: string, meanwhile: () => Promise<void>) {
    const connection = await ReplicationConnection.open(new Secret(this.postgres.url()), 'make-archive')
    const buffers = new FramePool(3, 512 * 1024)
    let current: { tablespace: string; location: string | null } | null = null
    let pieces: Buffer[] = []
    try {
      const options = { label, checkpoint: 'fast' as const, frameBytes: 256 * 1024 }
      for await (const event of readBaseBackup(connection, options, buffers)) {
        if (event.kind === 'archive') current = event
        if (event.kind === 'manifest') current = { tablespace: 'manifest', location: null }
        if (event.kind === 'frame') {
          if (pieces.length === 0 && current!.tablespace === 'base') await meanwhile()
          pieces.push(Buffer.from(event.buffer.subarray(0, event.bytes)))
          buffers.release(event.buffer)
        }
        if (event.kind === 'archive_end') {
          const { tablespace, location } = current!
          yield { kind: 'tar' as const, tablespace, location, tar: Buffer.concat(pieces) }
          pieces = []
        }
        if (event.kind === 'start' || event.kind === 'end') yield event
      }
    } finally {
      connection.close()
    }
  }
}
