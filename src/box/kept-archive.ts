import { z } from 'zod'
import { isBackupId } from './key-names.js'
import { Lsn } from './manifest.js'

const Id = z.string().refine(isBackupId)

/** What of one life of a server is stored, as prune found it when it had deleted the rest. Written by the keyholder alone. */
export const KeptArchive = z.object({
  postbox_kept: z.literal(1),
  server: z.string(),
  system_identifier: z.string().regex(/^\d{1,20}$/),
  /** by the archive's clock; what was stored later is not meant */
  listed_at: z.iso.datetime(),
  /** base backups that have a manifest that can be believed */
  backups: z.array(Id),
  dumps: z.array(Id),
  /** whole segments, whoever wrote them; null when their size is not known */
  wal: z.array(z.object({ timeline: z.number().int().positive(), from_lsn: Lsn, to_lsn: Lsn })).nullable(),
})

export type KeptArchive = z.infer<typeof KeptArchive>
