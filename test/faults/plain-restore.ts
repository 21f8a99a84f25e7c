import { chmod, mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createHash } from 'node:crypto'
import { parseSegmentKey, parseTailKey, sha12, tailsPrefix } from '../../src/box/key-names.js'
import { parseManifest, type Manifest } from '../../src/box/manifest.js'
import { verifyBackupManifest } from '../sandbox/backup-manifest.js'
import { sandboxOwned, scratchDir, startFromDataDir, type SandboxPostgres } from '../sandbox/postgres.js'
import { run } from '../sandbox/run.js'
import type { Bucket } from '../sandbox/s3/store.js'
import { until } from '../sandbox/until.js'

/**
 * Restores one base backup and all WAL, tails too, with `zstd`, `tar` and `pg_ctl` alone, and starts it. The caller
 * removes it.
 *
 * Throws when a file differs from Postgres's own manifest, or recovery fails.
 */
export async function startPlainly(bucket: Bucket, manifestKey: string): Promise<SandboxPostgres> {
  const manifest = parseManifest(manifestKey, bucket.get(manifestKey))
  const home = await scratchDir('plain')
  const dataDir = await sandboxOwned(join(home, 'data'))
  for (const { tablespace, parts } of manifest.archives) {
    const directory = tablespace === 'base' ? dataDir : await sandboxOwned(join(home, tablespace))
    const whole = Buffer.concat(parts.map(({ key }) => bucket.get(key)))
    await unpack(whole, join(home, `${tablespace}.tar.zst`), directory)
    if (tablespace === 'base') continue
    await mkdir(join(dataDir, 'pg_tblspc'), { recursive: true })
    await symlink(directory, join(dataDir, 'pg_tblspc', tablespace))
  }
  await writeUnpacked(bucket.get(manifest.backup_manifest.key), join(dataDir, 'backup_manifest'))
  const problems = await verifyBackupManifest(dataDir)
  if (problems.length > 0) throw new Error(`the restored files differ:\n${problems.join('\n')}`)

  // The map of the lost server names directories that are still there: ours are linked already.
  if (manifest.tablespace_map !== null) await run('rm', [join(dataDir, 'tablespace_map')])
  const wal = await sandboxOwned(join(home, 'wal'))
  const stored = new Set<string>()
  for (const key of bucket.keys()) {
    const segment = parseSegmentKey(key)
    if (!segment) continue
    stored.add(segment.name)
    await writeUnpacked(bucket.get(key), join(wal, segment.name))
  }
  await joinTails(bucket, manifest, stored, wal)
  // A backup of a standby holds what made it one.
  await rm(join(dataDir, 'standby.signal'), { force: true })
  await writeFile(join(dataDir, 'recovery.signal'), '')
  const settings = { restore_command: `cp ${wal}/%f %p`, recovery_target_timeline: String(manifest.timeline) }
  const version = Math.floor(manifest.postgres_version_num / 10000) as SandboxPostgres['version']
  const restored = await startFromDataDir({ version, dataDir, settings })
  await until('recovery has ended', async () => {
    const [row] = await restored.query<{ over: boolean }>('select not pg_is_in_recovery() as over')
    return row!.over
  })
  return restored
}

/** Makes segments of the tails of those that are not stored whole, as RESTORE.md says: joined by their marks, then zeros. */
async function joinTails(bucket: Bucket, manifest: Manifest, stored: Set<string>, wal: string): Promise<void> {
  const pieces = join(wal, 'pieces')
  const joined = new Map<string, Buffer>()
  for (const key of bucket.keys(
    tailsPrefix({ server: manifest.server, systemIdentifier: manifest.system_identifier }),
  )) {
    const { name, from, to, sha12: mark } = parseTailKey(key)!
    if (stored.has(name)) continue
    const before = joined.get(name) ?? Buffer.alloc(0)
    const [begin, end] = [from, to].map((lsn) => Number(lsn % BigInt(manifest.wal_segment_bytes)))
    // A segment's last tail ends where the next one begins.
    if (begin! > before.length || (end !== 0 && end! <= before.length)) continue
    await writeUnpacked(bucket.get(key), pieces)
    const longer = Buffer.concat([before.subarray(0, begin), await readFile(pieces)])
    if (sha12(createHash('sha256').update(longer).digest()) === mark) joined.set(name, longer)
  }
  for (const [name, bytes] of joined) {
    const rest = Buffer.alloc(manifest.wal_segment_bytes - bytes.length)
    await writeFile(join(wal, name), Buffer.concat([bytes, rest]), { mode: 0o644 })
  }
}

async function unpack(stored: Buffer, file: string, directory: string): Promise<void> {
  await writeFile(file, stored)
  await chmod(file, 0o644)
  await run('tar', ['--zstd', '-xf', file, '-C', directory, '--no-same-owner'], { asSandboxUser: true })
}

async function writeUnpacked(stored: Buffer, file: string): Promise<void> {
  await writeFile(`${file}.zst`, stored)
  await run('zstd', ['-dqf', '--rm', `${file}.zst`, '-o', file])
  await chmod(file, 0o644)
}
