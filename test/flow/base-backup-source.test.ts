import { createHash } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Secret } from '../../src/secret.js'
import { readBackupFiles } from '../../src/source/backup-label.js'
import { readBaseBackup, type BaseBackupEvent } from '../../src/source/base-backup.js'
import { ReplicationConnection } from '../../src/source/replication-connection.js'
import { FramePool } from '../../src/transform/frame-pool.js'
import { postgresVersions, startPostgres, type SandboxPostgres } from '../sandbox/postgres.js'

interface Archive {
  name: string
  sha256: string
  bytes: number
  head: Buffer
}

/** Reads a whole base backup; `frameBytes` small enough that every boundary is crossed. */
async function read(postgres: SandboxPostgres, frameBytes: number): Promise<{ archives: Archive[]; events: string[] }> {
  const connection = await ReplicationConnection.open(new Secret(postgres.url()), 'test')
  const buffers = new FramePool(3, frameBytes + 256 * 1024)
  const archives: Archive[] = []
  const events: string[] = []
  let hash = createHash('sha256')
  let bytes = 0
  let head = Buffer.alloc(0)
  let name = ''
  const take = (event: BaseBackupEvent) => {
    if (event.kind !== 'frame') events.push(event.kind)
    if (event.kind === 'archive') name = event.tablespace
    if (event.kind === 'manifest') name = 'manifest'
    if (event.kind === 'frame') {
      const raw = event.buffer.subarray(0, event.bytes)
      hash.update(raw)
      bytes += raw.length
      if (head.length < 65536) head = Buffer.concat([head, raw])
      buffers.release(event.buffer)
    }
    if (event.kind === 'archive_end') {
      archives.push({ name, sha256: hash.digest('hex'), bytes, head })
      hash = createHash('sha256')
      bytes = 0
      head = Buffer.alloc(0)
    }
  }
  const options = { label: "it's a test", checkpoint: 'fast' as const, frameBytes }
  try {
    for await (const event of readBaseBackup(connection, options, buffers)) take(event)
  } finally {
    connection.close()
  }
  return { archives, events }
}

describe.each(postgresVersions)('BASE_BACKUP of Postgres %i', (version) => {
  let postgres: SandboxPostgres
  beforeAll(async () => {
    postgres = await startPostgres({ version })
    await postgres.query('create table filler as select n, md5(n::text) from generate_series(1, 100000) n')
  })
  afterAll(async () => {
    await postgres.remove()
  })

  test('comes as base.tar with backup_label first, then the manifest', async () => {
    const { archives, events } = await read(postgres, 4 * 1024 * 1024)
    expect(events).toEqual(['start', 'archive', 'archive_end', 'manifest', 'archive_end', 'end'])
    const base = archives[0]!
    expect(base.name).toBe('base')
    expect(base.bytes).toBeGreaterThan(10_000_000)
    expect(base.bytes % 512).toBe(0)
    const files = readBackupFiles(base.head)
    expect(files.backupLabel).toContain("LABEL: it's a test")
    expect(files.tablespaceMap).toBeNull()
    expect(JSON.parse(archives[1]!.head.toString('utf8'))).toHaveProperty('PostgreSQL-Backup-Manifest-Version')
  })

  test('can be left early, and the server gives it up', async () => {
    const connection = await ReplicationConnection.open(new Secret(postgres.url()), 'left early')
    const buffers = new FramePool(2)
    const options = { label: 'x', checkpoint: 'fast' as const, frameBytes: 1024 * 1024 }
    for await (const event of readBaseBackup(connection, options, buffers)) {
      if (event.kind === 'frame') break
    }
    await expect(connection.run('IDENTIFY_SYSTEM')).rejects.toMatchObject({ code: 'replication_failed' })
  })
})
