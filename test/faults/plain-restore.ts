import { chmod, mkdir, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseSegmentKey } from '../../src/box/key-names.js'
import { parseManifest } from '../../src/box/manifest.js'
import { verifyBackupManifest } from '../sandbox/backup-manifest.js'
import { sandboxOwned, scratchDir, startFromDataDir, type SandboxPostgres } from '../sandbox/postgres.js'
import { run } from '../sandbox/run.js'
import type { Bucket } from '../sandbox/s3/store.js'
import { until } from '../sandbox/until.js'

/**
 * Restores one base backup and all WAL with `zstd`, `tar` and `pg_ctl` alone, and starts it. The caller removes it.
 *
 * Throws when a file differs from Postgres's own manifest, or recovery fails.
 */
export async function startPlainly(bucket: Bucket, manifestKey: string): Promise<SandboxPostgres> {
  const manifest = parseManifest(manifestKey, bucket.get(manifestKey))
  const home = await scratchDir('plain')
  const dataDir = await sandboxOwned(join(home, 'data'))
  for (const { tablespace, parts } of manifest.archives) {
    const directory = tablespace === 'base' ? dataDir : await sandboxOwned(join(home, tablespace))
    const stored = Buffer.concat(parts.map(({ key }) => bucket.get(key)))
    await unpack(stored, join(home, `${tablespace}.tar.zst`), directory)
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
  for (const key of bucket.keys()) {
    const segment = parseSegmentKey(key)
    if (segment) await writeUnpacked(bucket.get(key), join(wal, segment.name))
  }
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

async function unpack(stored: Buffer, file: string, directory: string): Promise<void> {
  await writeFile(file, stored)
  await chmod(file, 0o644)
  await run('tar', ['--zstd', '-xf', file, '-C', directory, '--no-same-owner'], { asSandboxUser: true })
}

async function writeUnpacked(stored: Buffer, file: string): Promise<void> {
  await writeFile(`${file}.zst`, stored)
  await run('zstd', ['-dq', '--rm', `${file}.zst`, '-o', file])
  await chmod(file, 0o644)
}
