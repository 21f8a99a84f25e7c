import { createHash } from 'node:crypto'
import { parseManifestKey, parseSegmentKey, parseTailKey, sha12 } from '../../src/box/key-names.js'
import { parseManifest, type Manifest, type PartEntry } from '../../src/box/manifest.js'
import { decompress } from '../../src/keyholder/zstd.js'
import type { BackedUpServer } from '../sandbox/backed-up-server.js'
import type { Version } from '../sandbox/s3/store.js'
import { wrongDumps } from './dump-agreement.js'
import { recordAllWal } from './observe.js'
import { wrongChain, wrongTails } from './wal-agreement.js'

const sha256 = (bytes: Buffer): Buffer => createHash('sha256').update(bytes).digest()

/** Manifests in the bucket, oldest first. */
export function storedManifests({ bucket }: BackedUpServer): Manifest[] {
  const keys = bucket.keys().filter((key) => parseManifestKey(key))
  return keys.map((key) => parseManifest(key, bucket.get(key)))
}

/**
 * What is wrong between catalog and bucket, once all WAL is stored: nothing, whatever happened before.
 *
 * Every object is what its name says, in each of its versions; every manifest names only parts that are there, and the
 * rows of dumps are theirs; the rows of WAL are the WAL that is there, and that has no gap; each segment and tail says
 * what it follows.
 */
export async function disagreements(backedUp: BackedUpServer): Promise<string[]> {
  await recordAllWal(backedUp)
  const [row] = await backedUp.postgres.query<{ bytes: string }>(
    "select pg_size_bytes(current_setting('wal_segment_size')) as bytes",
  )
  return [
    ...(await wrongObjects(backedUp)),
    ...(await wrongTails(backedUp.bucket)),
    ...wrongManifests(backedUp),
    ...(await wrongDumps(backedUp, (part) => wrongPart(backedUp, part))),
    ...(await wrongRows(backedUp)),
    ...wrongChain(backedUp.bucket, Number(row!.bytes)),
  ]
}

/** Versions that were right before: they cannot change. */
const known = new WeakSet<Version>()

async function wrongObjects({ bucket }: BackedUpServer): Promise<string[]> {
  const wrong: string[] = []
  for (const key of bucket.keys().filter((one) => !parseTailKey(one))) {
    const mark = /-([0-9a-f]{12})(?:\.[a-z.]+)?$/.exec(key)?.[1]
    for (const version of bucket.versions(key)) {
      if (known.has(version)) continue
      const { bytes } = version
      // WAL is named by what it holds, everything else by what is stored.
      const named = parseSegmentKey(key) ? await decompress(bytes!, key) : bytes!
      if (sha12(sha256(named)) !== mark) wrong.push(`${key} holds other bytes than it says`)
      else known.add(version)
    }
  }
  return wrong
}

function wrongManifests(backedUp: BackedUpServer): string[] {
  return storedManifests(backedUp).flatMap(({ archives, backup_manifest }) =>
    [...archives.flatMap(({ parts }) => parts), backup_manifest].flatMap((part) => wrongPart(backedUp, part)),
  )
}

function wrongPart({ bucket }: BackedUpServer, { key, bytes, sha256: expected }: PartEntry): string[] {
  const stored = bucket.current(key)?.bytes
  if (!stored) return [`${key} is in a manifest and not in the bucket`]
  if (stored.length !== bytes) return [`${key} has ${stored.length} bytes and its manifest says ${bytes}`]
  return sha256(stored).toString('hex') === expected ? [] : [`${key} has another SHA-256 than its manifest says`]
}

async function wrongRows(backedUp: BackedUpServer): Promise<string[]> {
  const { postgres, bucket } = backedUp
  const objects = await postgres.query<{ key: string; kind: string; bytes: string }>('select * from backup.objects')
  const ranges = await postgres.query<{ timeline: number; segments: string }>(
    `select timeline, bytes / pg_size_bytes(current_setting('wal_segment_size')) as segments from backup.wal_coverage`,
  )
  const gaps = await postgres.query('select * from backup.wal_gaps')
  const backups = await postgres.query<{ manifest_key: string; sha256: string }>(
    `select manifest_key, encode(manifest_sha256, 'hex') sha256 from backup._base_backup`,
  )
  const recorded = objects.filter(({ kind }) => kind === 'segment').map(({ key }) => key)
  const stored = bucket.keys().filter((key) => parseSegmentKey(key))
  const covered = ranges.reduce((sum, { segments }) => sum + Number(segments), 0)
  return [
    ...objects.filter(({ key }) => !bucket.current(key)?.bytes).map(({ key }) => `${key} has a row and no object`),
    ...stored.filter((key) => !recorded.includes(key)).map((key) => `${key} has no row`),
    ...backups
      .filter((row) => sha256(bucket.get(row.manifest_key)).toString('hex') !== row.sha256)
      .map(({ manifest_key }) => `${manifest_key} is not what its row says`),
    ...(covered === stored.length ? [] : [`${covered} segments are covered and ${stored.length} are stored`]),
    ...(new Set(ranges.map(({ timeline }) => timeline)).size === ranges.length ? [] : ['the coverage has a gap']),
    ...gaps.map((gap) => `a gap: ${JSON.stringify(gap)}`),
  ]
}
