import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from '../sandbox/run.js'
import type { SandboxPostgres } from '../sandbox/postgres.js'
import { watchTree } from './process-tree.js'

export interface PeerRepository {
  /** TLS port of the S3 on this machine; pgBackRest speaks S3 over TLS only */
  port: number
  bucket: string
  accessKey: string
  secretKey: string
  /** zstd level */
  level: number
}

/** A repository in a folder, for what never reaches it. */
export interface LocalRepository {
  path: string
  level: number
}

/** pgBackRest's version, or null where it is not installed (Debian: apt-get install pgbackrest). */
export async function pgBackRestVersion(): Promise<string | null> {
  return run('pgbackrest', ['version']).then(
    (text) => text.trim(),
    () => null,
  )
}

/** Writes pgBackRest's configuration and makes its stanza. Returns the folder of the configuration. */
export async function setUpPgBackRest(
  postgres: SandboxPostgres,
  repository: PeerRepository | LocalRepository,
  directory: string,
): Promise<string> {
  const folders = ['log', 'lock', 'spool'].map((name) => join(directory, name))
  for (const folder of folders) await mkdir(folder, { recursive: true })
  const settings = [
    '[global]',
    ...('path' in repository ? [`repo1-path=${repository.path}`] : s3Settings(repository)),
    'repo1-retention-full=1',
    'compress-type=zst',
    `compress-level=${repository.level}`,
    'process-max=2',
    'start-fast=y',
    // Only the base backup is measured; Postbox stores its WAL besides.
    'archive-check=n',
    `log-path=${folders[0]}`,
    `lock-path=${folders[1]}`,
    `spool-path=${folders[2]}`,
    'log-level-console=warn',
    '[main]',
    `pg1-path=${postgres.dataDir}`,
    `pg1-port=${postgres.port}`,
    `pg1-socket-path=${postgres.socketDir}`,
    'pg1-user=postgres',
  ]
  await writeFile(join(directory, 'pgbackrest.conf'), settings.join('\n') + '\n')
  await run('pgbackrest', [`--config=${join(directory, 'pgbackrest.conf')}`, '--stanza=main', 'stanza-create'])
  return directory
}

function s3Settings({ port, bucket, accessKey, secretKey }: PeerRepository): string[] {
  return [
    'repo1-type=s3',
    'repo1-path=/pgbackrest',
    `repo1-s3-bucket=${bucket}`,
    'repo1-s3-endpoint=127.0.0.1',
    `repo1-storage-port=${port}`,
    'repo1-storage-verify-tls=n',
    'repo1-s3-uri-style=path',
    'repo1-s3-region=us-east-1',
    `repo1-s3-key=${accessKey}`,
    `repo1-s3-key-secret=${secretKey}`,
  ]
}

/** The archive_command, asynchronous unless told otherwise; its processes run as the server's user. */
export function archivePushCommand(directory: string, path = '%p', async = true): string {
  const how = async ? '--archive-async' : '--no-archive-async'
  return `pgbackrest --config=${join(directory, 'pgbackrest.conf')} --stanza=main ${how} archive-push ${path}`
}

/** One full backup. Seconds of wall time and the most memory of all its processes together. */
export async function pgBackRestBackup(directory: string): Promise<{ seconds: number; peakBytes: number }> {
  const began = performance.now()
  const args = [`--config=${join(directory, 'pgbackrest.conf')}`, '--stanza=main', '--type=full', 'backup']
  const child = spawn('pgbackrest', args, { stdio: ['ignore', 'inherit', 'inherit'] })
  const ended = watchTree(child.pid!)
  const [code] = (await once(child, 'close')) as [number | null]
  if (code !== 0) throw new Error(`pgbackrest backup ended with ${String(code)}`)
  return { seconds: (performance.now() - began) / 1000, ...ended() }
}
