import { sql } from 'slonik'
import { z } from 'zod'
import type { DrillResult } from '../box/drill-result.js'
import { json, type CatalogPool } from './pool.js'

/** Notes what the keyholder proved; whether it was new. */
export async function recordDrill(pool: CatalogPool, drill: DrillResult): Promise<boolean> {
  const Row = z.object({ is_new: z.boolean() })
  const { is_new } = await pool.one(sql.type(Row)`select backup._record_drill(${json(drill)}) as is_new`)
  return is_new
}
