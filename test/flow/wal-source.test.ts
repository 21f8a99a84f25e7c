import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Secret } from '../../src/secret.js'
import { ReplicationConnection } from '../../src/source/replication-connection.js'
import { ensureSlot } from '../../src/source/replication-slot.js'
import { identifyServer } from '../../src/source/server-identity.js'
import { WalStream } from '../../src/source/wal-stream.js'
import { FramePool } from '../../src/transform/frame-pool.js'
import { lastCommitTime, transactionEnds } from '../../src/wal/commit-times.js'
import { checkSegment } from '../../src/wal/page.js'
import { segmentName, segmentStart } from '../../src/wal/segment.js'
import { postgresVersions, startPostgres, type SandboxPostgres } from '../sandbox/postgres.js'
import { until } from '../sandbox/until.js'

const open = (postgres: SandboxPostgres) => ReplicationConnection.open(new Secret(postgres.url()), 'postbox')

interface Streamed {
  name: string
  bytes: Buffer
  systemIdentifier: string
  segmentBytes: number
  segment: { timeline: number; start: bigint }
}

/** Streams `count` segments from where the slot stands and reports each as stored. */
async function stream(postgres: SandboxPostgres, count: number): Promise<Streamed[]> {
  // The server notices a moment later that the connection before is gone.
  await until('the slot is free', async () => {
    const [slot] = await postgres.query<{ active: boolean }>('select active from pg_replication_slots')
    return !slot!.active
  })
  const connection = await open(postgres)
  try {
    const { segmentBytes, systemIdentifier } = await identifyServer(connection)
    const { restartLsn, timeline } = await ensureSlot(connection, 'postbox')
    const buffers = new FramePool(2, segmentBytes)
    const start = segmentStart(restartLsn, segmentBytes)
    const wal = new WalStream(
      connection,
      { slot: 'postbox', timeline, start, stored: restartLsn, segmentBytes },
      buffers,
    )
    const streamed: Streamed[] = []
    for await (const event of wal.read()) {
      if (event.kind !== 'segment') break
      const { segment } = event
      const name = segmentName(segment, segmentBytes)
      streamed.push({ name, bytes: Buffer.from(event.bytes), systemIdentifier, segmentBytes, segment })
      buffers.release(event.bytes)
      wal.reportStored(segment.start + BigInt(segmentBytes))
      if (streamed.length === count) {
        const [at] = await postgres.query<{ restart: string }>(
          "select restart_lsn::text restart from pg_replication_slots where slot_name = 'postbox'",
        )
        await until('the slot has moved on', async () => {
          const [now] = await postgres.query<{ restart: string }>(
            "select restart_lsn::text restart from pg_replication_slots where slot_name = 'postbox'",
          )
          return now!.restart !== at!.restart || now!.restart.endsWith('000000')
        })
        break
      }
    }
    return streamed
  } finally {
    connection.close()
  }
}

describe.each(postgresVersions)('the WAL stream of Postgres %i', (version) => {
  let postgres: SandboxPostgres
  beforeAll(async () => {
    postgres = await startPostgres({ version })
    const connection = await open(postgres)
    const first = await ensureSlot(connection, 'postbox')
    expect(first.made).toBe('absent')
    expect((await ensureSlot(connection, 'postbox')).made).toBeNull()
    connection.close()
  })
  afterAll(async () => {
    await postgres.remove()
  })

  test('gives the very bytes of pg_wal, from the moment the slot was made, over several connections', async () => {
    await postgres.query('create table t as select n, repeat(md5(n::text), 30) from generate_series(1, 60000) n')
    await postgres.query('insert into t values (0, null)')
    await postgres.query('select pg_switch_wal()')
    const streamed = [...(await stream(postgres, 2)), ...(await stream(postgres, 1))]
    expect(new Set(streamed.map(({ name }) => name)).size).toBe(3)
    for (const { name, bytes, segment, segmentBytes, systemIdentifier } of streamed) {
      expect(bytes.equals(await readFile(join(postgres.dataDir, 'pg_wal', name)))).toBe(true)
      checkSegment(bytes, segment, segmentBytes, systemIdentifier)
      expect(() => {
        checkSegment(bytes, segment, segmentBytes, '1')
      }).toThrow(/belongs to system/)
    }
  })

  test('tells who committed and when', async () => {
    const rest = await postgres.query<{ xid: number; at: Date }>(
      `with x as (insert into t values (-1, null) returning 1)
       select (pg_current_xact_id()::text::numeric % 4294967296)::bigint::text::int xid, clock_timestamp() at from x`,
    )
    await postgres.query('select pg_switch_wal()')
    const { xid, at } = rest[0]!
    for (;;) {
      const [segment] = await stream(postgres, 1)
      const ends = [...transactionEnds(segment!.bytes)]
      const ours = ends.find((end) => end.xid === xid)
      if (!ours) continue
      expect(ours.committed).toBe(true)
      expect(Math.abs(ours.endedAt.getTime() - at.getTime())).toBeLessThan(5000)
      expect(lastCommitTime(segment!.bytes)).toEqual(ends.at(-1)!.endedAt)
      break
    }
  })
})

test('the stream rests while all buffers are out, and loses nothing by it', async () => {
  const postgres = await startPostgres({ initdb: ['--wal-segsize=1'] })
  const connection = await open(postgres)
  try {
    const { segmentBytes } = await identifyServer(connection)
    const { restartLsn, timeline } = await ensureSlot(connection, 'postbox')
    await postgres.query('create table t as select n, repeat(md5(n::text), 30) from generate_series(1, 20000) n')
    await postgres.query('select pg_switch_wal()')
    const buffers = new FramePool(2, segmentBytes)
    let rests = 0
    connection.pause = () => {
      rests++
      ReplicationConnection.prototype.pause.call(connection)
    }
    const start = segmentStart(restartLsn, segmentBytes)
    const options = { slot: 'postbox', timeline, start, stored: restartLsn, segmentBytes }
    const names: string[] = []
    for await (const event of new WalStream(connection, options, buffers).read()) {
      if (event.kind !== 'segment') break
      // Nobody releases a buffer meanwhile, and a dozen segments more wait.
      await until('the socket rests', () => rests > 0)
      expect(buffers.out).toBeLessThanOrEqual(3)
      const name = segmentName(event.segment, segmentBytes)
      expect(event.bytes.equals(await readFile(join(postgres.dataDir, 'pg_wal', name)))).toBe(true)
      names.push(name)
      buffers.release(event.bytes)
      if (names.length === 12) break
    }
    expect(names).toEqual([...names].sort())
    expect(new Set(names).size).toBe(12)
  } finally {
    connection.close()
    await postgres.remove()
  }
})
