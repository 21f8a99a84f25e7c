import { afterAll, beforeAll, expect, test } from 'vitest'
import { Secret } from '../../src/secret.js'
import { readBaseBackup } from '../../src/source/base-backup.js'
import { ReplicationConnection } from '../../src/source/replication-connection.js'
import { identifyServer } from '../../src/source/server-identity.js'
import { FRAME_BYTES, FramePool } from '../../src/transform/frame-pool.js'
import { startPostgres, type SandboxPostgres } from '../sandbox/postgres.js'
import { turnOnTls } from '../sandbox/postgres-tls.js'

let postgres: SandboxPostgres

beforeAll(async () => {
  postgres = await startPostgres()
  await turnOnTls(postgres)
})

afterAll(() => postgres.remove())

test('a base backup comes through TLS as it comes without', async () => {
  const url = `${postgres.url()}?sslmode=no-verify`
  const connection = await ReplicationConnection.open(new Secret(url), 'postbox')
  try {
    const { systemIdentifier } = await identifyServer(connection)
    expect(systemIdentifier).toMatch(/^\d+$/)
    const [row] = await postgres.query<{ ssl: boolean }>('select ssl from pg_stat_ssl where pid = $1', [connection.pid])
    expect(row).toEqual({ ssl: true })
    const buffers = new FramePool(2)
    const kinds: string[] = []
    let bytes = 0
    const options = { label: 'tls', checkpoint: 'fast', frameBytes: FRAME_BYTES } as const
    for await (const event of readBaseBackup(connection, options, buffers)) {
      kinds.push(event.kind)
      if (event.kind !== 'frame') continue
      bytes += event.bytes
      buffers.release(event.buffer)
    }
    expect(kinds.at(-1)).toBe('end')
    expect(bytes).toBeGreaterThan(20_000_000)
  } finally {
    connection.close()
  }
})
