import { sql } from 'slonik'
import { z } from 'zod'
import type { CatalogPool } from './pool.js'

/**
 * Ends a process of the worker's own role. Nothing happens when it is gone, or its number another's.
 *
 * A walsender that waits for a checkpoint does not look at its socket.
 */
export async function endProcess(pool: CatalogPool, pid: number, applicationName: string): Promise<void> {
  await pool.any(sql.type(z.object({ ended: z.boolean() }))`
    select pg_terminate_backend(a.pid) as ended
    from pg_stat_activity a
    where a.pid = ${pid} and a.application_name = ${applicationName} and a.usename = session_user
  `)
}
