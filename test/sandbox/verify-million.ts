import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { getHeapSpaceStatistics } from 'node:v8'
import { zstdCompressSync } from 'node:zlib'
import { backupManifestKey, formatBackupId, manifestKey, partKey, segmentKey, sha12 } from '../../src/box/key-names.js'
import { formatManifest, type Manifest } from '../../src/box/manifest.js'
import type { Archive, StoredObject } from '../../src/keyholder/archive.js'
import { verifyHome } from '../../src/keyholder/verify/verify-home.js'
import { formatLsn } from '../../src/wal/lsn.js'
import { makeSegment } from './make-wal.js'

// A program: verifies a listing of a million segments that is made while it is read, and prints what was found and the
// memory that it took. The test gives it a heap in which no list of a million keys has room.

const SEGMENTS = 1_000_000
/** Segment `GAP` is missing; a backup was taken behind it. */
const GAP = 400_000
const SECOND_BACKUP = 500_000
const STORED_AT = new Date('2026-11-21T10:00:00.000Z')
const MB = 1024 * 1024
const HOME = { server: 'db1', systemIdentifier: '7000000000000000001' }
const PREFIX = `${HOME.server}/${HOME.systemIdentifier}/`
const sha256 = (content: Buffer): Buffer => createHash('sha256').update(content).digest()
const startOf = (index: number): bigint => BigInt(index + 1) * BigInt(MB)

/** What is read, not only listed: manifests, and the segments in which windows end. */
const contents = new Map<string, Buffer>()
const ends = new Map<number, Buffer>()
for (const index of [GAP - 1, SEGMENTS - 1]) {
  const commits = [BigInt(Date.parse('2026-11-22T11:00:00Z')) * 1000n]
  const systemIdentifier = HOME.systemIdentifier
  ends.set(index, makeSegment({ timeline: 1, lsn: startOf(index), segmentBytes: MB, systemIdentifier, commits }))
}

const markOf = (index: number): string => {
  const raw = ends.get(index)
  return raw ? sha12(sha256(raw)) : index.toString(16).padStart(12, '0')
}

/** As segmentKey() makes it, which is asked for two of them: a million would take most of the test's time. */
function keyOf(index: number): string {
  const number = index + 1
  const hex = (digits: number) => digits.toString(16).toUpperCase().padStart(8, '0')
  const previous = index === 0 || index - 1 === GAP ? '' : `${markOf(index - 1)}-`
  return `${PREFIX}wal/00000001/00000001${hex(number >>> 12)}${hex(number & 4095)}-${previous}${markOf(index)}.zst`
}

for (const [index, raw] of ends) {
  const place = { timeline: 1, start: startOf(index) }
  assert.equal(keyOf(index), segmentKey(HOME, place, MB, sha256(raw), markOf(index - 1)))
}

/** Keys of segments from the first that does not sort before `key` on. */
function* segments(key: string): Generator<string> {
  let [low, high] = [0, SEGMENTS]
  while (low < high) {
    const middle = (low + high) >>> 1
    if (keyOf(middle) < key) low = middle + 1
    else high = middle
  }
  for (let index = low; index < SEGMENTS; index++) if (index !== GAP) yield keyOf(index)
}

function put(content: Buffer, name: (stored: Buffer) => string) {
  const key = name(sha256(content))
  contents.set(key, content)
  return { key, bytes: content.length, sha256: sha256(content).toString('hex'), raw_bytes: content.length }
}

function backUp(at: string, index: number, previous: string | null): string {
  const id = formatBackupId(new Date(at), Buffer.alloc(2))
  const manifest: Manifest = {
    postbox_manifest: 1,
    kind: 'base',
    server: HOME.server,
    system_identifier: HOME.systemIdentifier,
    backup_id: id,
    label: null,
    postgres_version_num: 180_004,
    wal_segment_bytes: MB,
    timeline: 1,
    start_lsn: formatLsn(startOf(index) + 40n),
    stop_lsn: formatLsn(startOf(index) + 256n),
    started_at: at,
    stopped_at: at,
    backup_label: '',
    tablespace_map: null,
    parent: null,
    archives: [
      { tablespace: 'base', location: null, parts: [put(Buffer.from(id), (sum) => partKey(HOME, id, 'base', 0, sum))] },
    ],
    backup_manifest: put(Buffer.from(`{${id}}`), (sum) => backupManifestKey(HOME, id, sum)),
    previous_manifest_sha256: previous,
  }
  return put(formatManifest(manifest), (sum) => manifestKey(HOME, id, sum)).sha256
}

const first = backUp('2026-11-21T09:30:00.000Z', 0, null)
backUp('2026-11-21T10:00:00.000Z', SECOND_BACKUP, first)
for (const [index, raw] of ends) contents.set(keyOf(index), zstdCompressSync(raw))
const before = [...contents.keys()].filter((key) => key.startsWith(`${PREFIX}base/`)).sort()

let seen = 0
let peakBytes = 0

const oldSpaceBytes = (): number =>
  getHeapSpaceStatistics().find(({ space_name }) => space_name === 'old_space')!.space_used_size

async function* list(prefix: string, after = ''): AsyncGenerator<StoredObject> {
  const keys = function* () {
    yield* before
    yield* segments(after > prefix ? after : prefix)
  }
  for (const key of keys()) {
    if (key <= after || key < prefix) continue
    if (!key.startsWith(prefix)) return
    // Between two pages others get their turn, as while a request is on its way.
    if (++seen % 1000 === 0) await new Promise(setImmediate)
    if (seen % 50_000 === 0) peakBytes = Math.max(peakBytes, oldSpaceBytes())
    const bytes = contents.get(key)?.length ?? 100
    yield { key, bytes, storedAt: STORED_AT, versionId: null, laterVersions: 0, storedOver: false }
  }
}

async function* folders(prefix: string): AsyncGenerator<string> {
  await Promise.resolve()
  if (prefix === `${PREFIX}base/`) yield* new Set(before.map((key) => key.slice(prefix.length).split('/')[0]!))
  if (prefix === `${PREFIX}wal/`) yield '00000001'
}

const archive: Archive = { list, folders, read: ({ key }) => Promise.resolve(contents.get(key)!) }

const {
  problems,
  segments: counted,
  backups,
  wal_gaps,
} = await verifyHome(archive, HOME, { only: null }, () => Promise.resolve())
process.stdout.write(JSON.stringify({ problems, segments: counted, backups, wal_gaps, peakBytes }) + '\n')
