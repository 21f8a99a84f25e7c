import { chmod, mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { createHash } from 'node:crypto'
import { parseSegmentKey, parseTailKey, sha12, tailsPrefix } from '../../src/box/key-names.js'
import { parseManifest, type Manifest } from '../../src/box/manifest.js'
import { verifyBackupManifest } from '../sandbox/backup-manifest.js'
import { sandboxOwned, scratchDir, startFromDataDir, type SandboxPostgres } from '../sandbox/postgres.js'
import { clientPrograms } from '../sandbox/client/programs.js'
import { plainEnv, run } from '../sandbox/run.js'
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
  await writeUnpacked([[join(dataDir, 'backup_manifest'), bucket.get(manifest.backup_manifest.key)]])
  const problems = await verifyBackupManifest(dataDir)
  if (problems.length > 0) throw new Error(`the restored files differ:\n${problems.join('\n')}`)

  // The map of the lost server names directories that are still there: ours are linked already.
  if (manifest.tablespace_map !== null) await run('rm', [join(dataDir, 'tablespace_map')])
  const wal = await sandboxOwned(join(home, 'wal'))
  await unpackWal(bucket, manifest, wal)
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

async function unpackWal(bucket: Bucket, manifest: Manifest, wal: string): Promise<void> {
  const segments = new Map<string, Buffer>()
  for (const key of bucket.keys()) {
    const segment = parseSegmentKey(key)
    if (segment) segments.set(segment.name, bucket.get(key))
  }
  await writeUnpacked([...segments].map(([name, stored]) => [join(wal, name), stored]))
  const home = { server: manifest.server, systemIdentifier: manifest.system_identifier }
  const tails = bucket.keys(tailsPrefix(home)).filter((key) => !segments.has(parseTailKey(key)!.name))
  const pieces = await scratchDir('tails')
  const file = (key: string) => join(pieces, basename(key, '.zst'))
  await writeUnpacked(tails.map((key) => [file(key), bucket.get(key)]))
  await joinTails(tails, file, manifest.wal_segment_bytes, wal)
}

/** Makes segments of tails, as RESTORE.md says: joined by their marks as far as there is no gap, then zeros. */
async function joinTails(
  tails: readonly string[],
  file: (key: string) => string,
  segmentBytes: number,
  wal: string,
): Promise<void> {
  const joined = new Map<string, Buffer>()
  for (const key of tails) {
    const { name, from, to, sha12: mark } = parseTailKey(key)!
    const before = joined.get(name) ?? Buffer.alloc(0)
    const begin = Number(from % BigInt(segmentBytes))
    if (begin > before.length || begin + Number(to - from) <= before.length) continue
    const longer = Buffer.concat([before.subarray(0, begin), await readFile(file(key))])
    if (sha12(createHash('sha256').update(longer).digest()) === mark) joined.set(name, longer)
  }
  for (const [name, bytes] of joined) {
    const rest = Buffer.alloc(segmentBytes - bytes.length)
    await writeFile(join(wal, name), Buffer.concat([bytes, rest]), { mode: 0o644 })
  }
}

/** With zstd on the path, although the machine may have none. */
async function withZstd(): Promise<Record<string, string>> {
  return { ...plainEnv, PATH: `${plainEnv.PATH}:${(await clientPrograms()) ?? ''}` }
}

async function unpack(stored: Buffer, file: string, directory: string): Promise<void> {
  await writeFile(file, stored)
  await chmod(file, 0o644)
  await run('tar', ['--zstd', '-xf', file, '-C', directory, '--no-same-owner'], {
    asSandboxUser: true,
    env: await withZstd(),
  })
}

/** Writes zstd files and unpacks them under their plain names, all by one call of the tool. */
async function writeUnpacked(files: readonly (readonly [name: string, stored: Buffer])[]): Promise<void> {
  if (files.length === 0) return
  for (const [name, stored] of files) await writeFile(`${name}.zst`, stored, { mode: 0o644 })
  await run('zstd', ['-dq', '--rm', ...files.map(([name]) => `${name}.zst`)], { env: await withZstd() })
}
