import { setTimeout as delay } from 'node:timers/promises'
import type { SandboxPostgres } from '../sandbox/postgres.js'
import { until } from '../sandbox/until.js'

/** From a commit to its being durable in S3, in milliseconds. */
export interface Delay {
  p50: number
  p99: number
}

const EVERY_MS = 20

/** The worker has stored what there is. */
export async function caughtUp(postgres: SandboxPostgres): Promise<void> {
  await until(
    'the worker has caught up',
    async () => {
      const [row] = await postgres.query<{ near: boolean }>(
        'select coalesce(max(flush_lsn) >= pg_current_wal_flush_lsn() - 65536, false) near from pg_stat_replication',
      )
      return row!.near
    },
    300_000,
  )
}

/** Notes the end of WAL fifty times a second, and when it was reported as flushed. The answer ends it. */
export function watchDelay(postgres: SandboxPostgres): () => Promise<Delay> {
  const open: { lsn: bigint; atMs: number }[] = []
  const delays: number[] = []
  let over = false
  const watching = (async () => {
    const session = await postgres.connect()
    while (!over || open.length > 0) {
      // Before the question and after the answer: a delay is never shown shorter than it was.
      const askedMs = performance.now()
      const { rows } = await session.query<{ written: string; stored: string }>(
        `select (pg_current_wal_flush_lsn() - '0/0')::text written, (max(flush_lsn) - '0/0')::text stored
         from pg_stat_replication where application_name = 'postbox'`,
      )
      const now = performance.now()
      while (open.length > 0 && open[0]!.lsn <= BigInt(rows[0]!.stored)) delays.push(now - open.shift()!.atMs)
      if (!over) open.push({ lsn: BigInt(rows[0]!.written), atMs: askedMs })
      await delay(EVERY_MS)
    }
    await session.end()
  })()
  return async () => {
    over = true
    await watching
    delays.sort((a, b) => a - b)
    const at = (share: number) => Math.round(delays[Math.floor(delays.length * share)]!)
    return { p50: at(0.5), p99: at(0.99) }
  }
}
