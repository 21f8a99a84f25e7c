import { z } from 'zod'

/**
 * A signed POST policy: what the keyholder hands to a server. Whoever holds it can post under `key_prefix` until
 * `expires_at`, and do nothing else. Plain JSON, the argument of backup.install_grant().
 */
export const Grant = z.object({
  postbox_grant: z.literal(1),
  server: z.string(),
  /** where to POST: the bucket's own URL, without a query */
  url: z.url({ protocol: /^https?$/ }),
  bucket: z.string(),
  /** `<server>/` */
  key_prefix: z.string(),
  /** the policy's content-length-range ends here */
  max_part_bytes: z.number().int().positive(),
  issued_at: z.iso.datetime(),
  expires_at: z.iso.datetime(),
  /** the form's fixed fields, lower case names, `policy` and `x-amz-signature` among them; `key`, checksum and file are the worker's */
  fields: z.record(z.string(), z.string()),
})

export type Grant = z.infer<typeof Grant>
