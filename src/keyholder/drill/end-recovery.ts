import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { PostboxError } from '../../errors.js'
import { CHOICE, SPOOL } from '../restore-command.js'
import { isAlive, Spool } from '../spool.js'

/** A request to the archive may be under way. */
const PREFETCHER_ENDS_MS = 180_000
const POLL_MS = 50

/**
 * Takes away what recovery needed, on a data directory whose server was stopped: its settings, and the prefetcher, which has
 * the S3 keys in its environment and may run as the same user as the server.
 *
 * Throws `drill_failed` when the prefetcher does not end.
 */
export async function endRecovery(dataDir: string): Promise<void> {
  const directory = join(dataDir, SPOOL)
  const spool = new Spool(directory)
  const end = performance.now() + PREFETCHER_ENDS_MS
  let pid = await spool.prefetcherPid()
  while (pid !== null && isAlive(pid)) {
    if (performance.now() > end) {
      const hint = 'See which process fetches WAL on this machine, end it, and run the drill again.'
      throw new PostboxError('drill_failed', `what fetches WAL for ${dataDir} does not end`, hint)
    }
    await delay(POLL_MS)
    pid = (await spool.prefetcherPid()) ?? pid
  }
  await rm(directory, { recursive: true, force: true })
  await rm(join(dataDir, CHOICE), { force: true })
  await writeFile(join(dataDir, 'postgresql.auto.conf'), '')
}
