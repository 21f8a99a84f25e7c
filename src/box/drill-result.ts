import { z } from 'zod'

/** What a drill found: a restore that was carried out and looked at. Written by the keyholder alone. */
export const DrillResult = z.object({
  postbox_drill: z.literal(1),
  server: z.string(),
  system_identifier: z.string().regex(/^\d+$/),
  backup_id: z.string(),
  /** as it was asked for, such as `latest` */
  target: z.string(),
  started_at: z.iso.datetime(),
  finished_at: z.iso.datetime(),
  ok: z.boolean(),
  /** why there are no checks: it could not be restored or started; null otherwise */
  problem: z.string().nullable(),
  restore_seconds: z.number(),
  recovery_seconds: z.number(),
  restored_bytes: z.number().int(),
  postgres_version_num: z.number().int(),
  checks: z.array(z.object({ name: z.string(), ok: z.boolean(), seen: z.string() })),
  /** what could not be looked at here, and why; older results do not say */
  not_run: z.array(z.string()).default([]),
})

export type DrillResult = z.infer<typeof DrillResult>
