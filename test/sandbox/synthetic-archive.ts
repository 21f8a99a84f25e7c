import { createHash } from 'node:crypto'
import { zstdCompressSync } from 'node:zlib'
import {
  backupManifestKey,
  dumpManifestKey,
  dumpSqlKey,
  formatBackupId,
  historyKey,
  manifestKey,
  partKey,
  segmentKey,
  sha12,
  tailKey,
  type Previous,
} from '../../src/box/key-names.js'
import { formatDumpManifest, type DumpManifest } from '../../src/box/dump-manifest.js'
import type { DrillResult } from '../../src/box/drill-result.js'
import { formatManifest, type Manifest } from '../../src/box/manifest.js'
import { drillKey } from '../../src/keyholder/drill/stored-drill.js'
import { formatLsn, parseLsn, type Lsn } from '../../src/wal/lsn.js'
import { formatTimeline, segmentStart } from '../../src/wal/segment.js'
import { makeSegment } from './make-wal.js'
import type { Bucket, Version } from './s3/store.js'

const MB = 1024 * 1024
const sha256 = (content: Buffer): Buffer => createHash('sha256').update(content).digest()

export interface SyntheticBackup {
  startedAt: string
  stoppedAt: string
  timeline?: number
  /** such as 0/100028 */
  start: string
  stop: string
  /** SHA-256 of the manifest before it */
  previous?: string | null
  parent?: string | null
  label?: string
}

/** Of a stored piece of WAL: its version, and what its key says that it follows. */
export type Given = Partial<Version> & { previous?: Previous }

/** Backups and WAL of 1 MiB that say what a test wants and hold no data: for what plans and lists, and replays nothing. */
export class SyntheticArchive {
  readonly home
  readonly segmentBytes = MB
  /** when what is stored next is stored; null: a backup when it ends, and all else now */
  clock: (() => Date) | null = null
  #previousDump: string | null = null

  constructor(
    readonly bucket: Bucket,
    readonly server = 'db1',
    systemIdentifier = '7000000000000000001',
  ) {
    this.home = { server, systemIdentifier }
  }

  #now(): Date {
    return this.clock?.() ?? new Date()
  }

  /** Stores a committed backup of one part. `given`: of its manifest object. */
  backup(backup: SyntheticBackup, given: Partial<Version> = {}): Manifest {
    const backupId = formatBackupId(new Date(backup.startedAt), sha256(Buffer.from(backup.start)))
    const part = this.#put(Buffer.from('no tar'), (stored) => partKey(this.home, backupId, 'base', 0, stored))
    const manifest: Manifest = {
      postbox_manifest: 1,
      kind: 'base',
      server: this.server,
      system_identifier: this.home.systemIdentifier,
      backup_id: backupId,
      label: backup.label ?? null,
      postgres_version_num: 180004,
      wal_segment_bytes: MB,
      timeline: backup.timeline ?? 1,
      start_lsn: backup.start,
      stop_lsn: backup.stop,
      started_at: backup.startedAt,
      stopped_at: backup.stoppedAt,
      backup_label: '',
      tablespace_map: null,
      parent: backup.parent ?? null,
      archives: [{ tablespace: 'base', location: null, parts: [part] }],
      backup_manifest: this.#put(Buffer.from('{}'), (stored) => backupManifestKey(this.home, backupId, stored)),
      previous_manifest_sha256: backup.previous ?? null,
    }
    this.putManifest(manifest, { storedAt: this.clock?.() ?? new Date(backup.stoppedAt), ...given })
    return manifest
  }

  /** Stores a committed dump of one section. */
  dump(startedAt: string, given: Partial<DumpManifest> = {}): DumpManifest {
    const dumpId = formatBackupId(new Date(startedAt), sha256(Buffer.from(startedAt)))
    const part = this.#put(Buffer.from('no sql'), (stored) => dumpSqlKey(this.home, dumpId, 'pre-data', 0, stored))
    const manifest: DumpManifest = {
      postbox_manifest: 1,
      kind: 'dump',
      server: this.server,
      system_identifier: this.home.systemIdentifier,
      dump_id: dumpId,
      label: null,
      database: 'shop',
      encoding: 'UTF8',
      postgres_version_num: 180004,
      pg_dump_version: 'pg_dump (PostgreSQL) 18.4',
      timeline: 1,
      snapshot_lsn: '0/100200',
      snapshot_at: startedAt,
      previous_manifest: this.#previousDump,
      whole: true,
      masked: false,
      chosen: { only: null, schemas: null, tables: null, exclude: [], exclude_data: [], row_security: false },
      warnings: [],
      sections: { database: [], drop: [], 'pre-data': [part], data: [], 'post-data': [] },
      tables: [],
      ...given,
    }
    const json = formatDumpManifest(manifest)
    this.#previousDump = dumpManifestKey(this.home, dumpId, sha256(json))
    this.bucket.put(this.#previousDump, json, { storedAt: this.#now() })
    return manifest
  }

  /** Stores the result of a drill, as a keyholder does. */
  drill(finished_at: string, backupId: string, ok = true): void {
    const result: DrillResult = {
      postbox_drill: 1,
      server: this.server,
      system_identifier: this.home.systemIdentifier,
      backup_id: backupId,
      target: 'latest',
      started_at: finished_at,
      finished_at,
      ok,
      problem: null,
      not_run: [],
      restore_seconds: 12,
      recovery_seconds: 4,
      restored_bytes: 1_000_000,
      postgres_version_num: 180_004,
      checks: [{ name: 'rows & <orders>', ok, seen: ok ? 'true' : 'false' }],
    }
    this.bucket.put(drillKey(result), Buffer.from(JSON.stringify(result)))
  }

  /** Stores a manifest under its right key, which is returned with its SHA-256. */
  putManifest(manifest: Manifest, given: Partial<Version> = {}): { key: string; sha256: string } {
    const json = formatManifest(manifest)
    const key = manifestKey(this.home, manifest.backup_id, sha256(json))
    this.bucket.put(key, json, { storedAt: this.#now(), ...given })
    return { key, sha256: sha256(json).toString('hex') }
  }

  /** Stores the segment that begins at `lsn`, with commits at these times. Returns its key. */
  segment(timeline: number, lsn: string, commits: readonly string[] = [], given: Given = {}): string {
    const start = segmentStart(parseLsn(lsn), MB)
    const raw = this.#raw(timeline, start, commits)
    const { previous = null, ...version } = given
    const key = segmentKey(this.home, { timeline, start }, MB, sha256(raw), previous)
    this.bucket.put(key, zstdCompressSync(raw), { storedAt: this.#now(), ...version })
    return key
  }

  /**
   * Stores the beginning of the segment that begins at `lsn` as tails that end at these offsets, and no more of it.
   * Returns their keys.
   */
  tails(
    timeline: number,
    lsn: string,
    ends: readonly number[],
    commits: readonly string[] = [],
    given: Given = {},
  ): string[] {
    const start = segmentStart(parseLsn(lsn), MB)
    const raw = this.#raw(timeline, start, commits)
    return ends.map((end, index) => this.tail(timeline, start, raw.subarray(0, end), ends[index - 1], given))
  }

  /** Stores the end of the first bytes of the segment that begins at `start`, from an offset on. Returns the key. */
  tail(timeline: number, start: Lsn, bytes: Buffer, offset = 0, { previous = null, ...given }: Given = {}): string {
    const range = { from: start + BigInt(offset), to: start + BigInt(bytes.length) }
    const key = tailKey(this.home, { timeline, start }, MB, range, sha256(bytes), previous)
    this.bucket.put(key, zstdCompressSync(bytes.subarray(offset)), { storedAt: this.#now(), ...given })
    return key
  }

  /** Stores segments from one position up to, and without, another. */
  segments(timeline: number, from: string, to: string): void {
    for (let at = parseLsn(from); at < parseLsn(to); at += BigInt(MB)) this.segment(timeline, formatLsn(at))
  }

  /** Stores so many segments from a position on by their names alone, each so many bytes: for what lists and reads nothing. */
  names(
    timeline: number,
    from: string,
    count: number,
    bytes = 100,
    storedAt: (index: number) => Date = () => this.#now(),
  ): void {
    const content = Buffer.alloc(bytes)
    let previous: string | null = null
    for (let index = 0; index < count; index++) {
      const start = parseLsn(from) + BigInt(index) * BigInt(MB)
      const raw = Buffer.alloc(32)
      raw.writeUInt32BE(index + 1)
      const key = segmentKey(this.home, { timeline, start }, MB, raw, previous)
      previous = sha12(raw)
      this.bucket.put(key, content, { storedAt: storedAt(index) })
    }
  }

  /** Stores so many tails of 64 bytes of WAL from a position on by their names alone, within one segment. */
  tailNames(timeline: number, from: string, count: number): void {
    const first = parseLsn(from)
    for (let index = 0; index < count; index++) {
      const range = { from: first + BigInt(64 * index), to: first + BigInt(64 * index + 64) }
      const mark = sha256(Buffer.from(String(range.to)))
      const key = tailKey(this.home, { timeline, start: segmentStart(first, MB) }, MB, range, mark)
      this.bucket.put(key, Buffer.alloc(20), { storedAt: this.#now() })
    }
  }

  /** Stores the history of a timeline: where it left each ancestor. */
  history(timeline: number, switches: readonly [timeline: number, lsn: string][]): string {
    const raw = Buffer.from(switches.map(([from, lsn]) => `${from}\t${lsn}\tno recovery target specified\n`).join('\n'))
    const key = historyKey(this.home, timeline, sha256(raw))
    this.bucket.put(key, raw, { storedAt: this.#now() })
    return key
  }

  /** Prefix of a timeline's segments. */
  walPrefix(timeline: number): string {
    return `${this.server}/${this.home.systemIdentifier}/wal/${formatTimeline(timeline)}/`
  }

  #raw(timeline: number, lsn: Lsn, commits: readonly string[]): Buffer {
    return makeSegment({
      timeline,
      lsn,
      segmentBytes: MB,
      systemIdentifier: this.home.systemIdentifier,
      commits: commits.map((one) => BigInt(Date.parse(one)) * 1000n),
    })
  }

  #put(raw: Buffer, key: (stored: Buffer) => string) {
    const stored = zstdCompressSync(raw)
    const name = key(sha256(stored))
    this.bucket.put(name, stored, { storedAt: this.#now() })
    return { key: name, bytes: stored.length, sha256: sha256(stored).toString('hex'), raw_bytes: raw.length }
  }
}
