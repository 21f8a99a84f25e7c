import { zstdDecompressSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseTailKey } from '../../src/box/key-names.js'
import { formatLsn } from '../../src/wal/lsn.js'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { until } from '../sandbox/until.js'

describe('the tail of the unfinished segment', () => {
  let backedUp: BackedUpServer
  beforeAll(async () => {
    backedUp = await BackedUpServer.start()
    await backedUp.worker.says('streaming WAL')
  })
  afterAll(() => backedUp.remove())

  const tails = () =>
    backedUp.bucket
      .keys()
      .map((key) => ({ key, ...parseTailKey(key)! }))
      .filter(({ name }) => name !== undefined)

  async function durable(): Promise<{ lsn: string; behind: string }> {
    const [row] = await backedUp.postgres.query<{ lsn: string; behind: string }>(
      `select flush_lsn::text lsn, (pg_current_wal_flush_lsn() - flush_lsn)::text behind
       from pg_stat_replication where application_name = 'postbox'`,
    )
    return row!
  }

  test('is stored, and then reported as flushed, without a segment being finished', async () => {
    await backedUp.postgres.query('create table t as select generate_series(1, 1000) n')
    await until('nothing is at risk', async () => (await durable()).behind === '0')
    await backedUp.postgres.query('insert into t values (0)')
    const { lsn } = await until('the next commit is safe as well', async () => {
      const now = await durable()
      return now.behind === '0' ? now : null
    })
    const stored = tails()
    expect(stored.length).toBeGreaterThan(1)
    expect(stored.map(({ to }) => formatLsn(to))).toContain(lsn)
  })

  test('is an unbroken chain of bytes from the beginning of its segment', async () => {
    const chain = tails().sort((a, b) => Number(a.from - b.from))
    expect(Number(chain[0]!.from % 0x1000000n)).toBe(0)
    for (const [at, { from, to, key }] of chain.entries()) {
      if (at > 0) expect(from).toBe(chain[at - 1]!.to)
      expect(zstdDecompressSync(backedUp.bucket.get(key)!).length).toBe(Number(to - from))
    }
  })
})
