import { sql } from 'slonik'
import { z } from 'zod'
import type { DrillResult } from '../box/drill-result.js'
import type { KeptArchive } from '../box/kept-archive.js'
import { json, type CatalogPool } from './pool.js'
import { NumberText, systemIdentifierArgument } from './row-values.js'

/** Notes what the keyholder proved; whether it was new. */
export async function recordDrill(pool: CatalogPool, drill: DrillResult): Promise<boolean> {
  const Row = z.object({ is_new: z.boolean() })
  const { is_new } = await pool.one(sql.type(Row)`select backup._record_drill(${json(drill)}) as is_new`)
  return is_new
}

/** Takes out of the catalog what is no longer stored; how many rows that were. */
export async function recordKept(pool: CatalogPool, kept: KeptArchive): Promise<number> {
  const Row = z.object({ removed: NumberText })
  const own = { ...kept, system_identifier: systemIdentifierArgument(kept.system_identifier) }
  const { removed } = await pool.one(sql.type(Row)`select backup._record_kept(${json(own)})::text as removed`)
  return removed
}
