import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { SandboxPostgres } from '../sandbox/postgres.js'
import { promoted } from '../sandbox/restored.js'

/** What a failover is to the WAL: the server, stopped or not, goes on as a new timeline. It knows nothing of an archive. */
export async function promote(postgres: SandboxPostgres): Promise<void> {
  await postgres.stop()
  await writeFile(join(postgres.dataDir, 'standby.signal'), '')
  await postgres.start()
  await postgres.query('select pg_promote()')
  await promoted(postgres)
}
