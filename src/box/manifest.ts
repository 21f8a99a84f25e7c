import { z } from 'zod'
import { PostboxError } from '../errors.js'
import { parseLsn } from '../wal/lsn.js'
import { SEGMENT_SIZES } from '../wal/page.js'

/** An array of which the first wrong element is told, and no other: a forged one may have millions. */
export function listOf<T>(element: z.ZodType<T>) {
  return z.array(z.unknown()).transform((items, context): T[] => {
    const found: T[] = []
    for (const [index, item] of items.entries()) {
      const { data, error } = element.safeParse(item)
      if (error) {
        const { path, message } = error.issues[0]!
        context.addIssue({ code: 'custom', path: [index, ...path], message })
        return z.NEVER
      }
      found.push(data)
    }
    return found
  })
}

/** One stored part of an archive of the backup. */
export const PartEntry = z.object({
  key: z.string(),
  /** stored bytes */
  bytes: z.number().int().positive(),
  /** hex, of the stored bytes */
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  /** bytes of tar that it holds */
  raw_bytes: z.number().int().nonnegative(),
})

/** The base directory or a tablespace. */
export const ArchiveEntry = z.object({
  /** `base` or the tablespace's oid */
  tablespace: z.string().regex(/^(base|\d+)$/),
  /** where the tablespace lay; null for base */
  location: z.string().nullable(),
  parts: listOf(PartEntry).refine((parts) => parts.length > 0, 'it has no parts'),
})

export const Lsn = z.string().regex(/^[0-9A-F]{1,8}\/[0-9A-F]{1,8}$/)

export const Timeline = z.number().int().positive().max(0xffff_ffff)

/** More WAL than any server writes during a backup: 256 TiB. */
const MAX_BACKUP_WAL = 1n << 48n

/** The commit of a base backup, format version 1. Written last; FORMAT.md explains each field. */
const Fields = z.object({
  postbox_manifest: z.literal(1),
  kind: z.literal('base'),
  server: z.string(),
  system_identifier: z.string().regex(/^\d+$/),
  backup_id: z.string(),
  label: z.string().nullable(),
  /** such as 180004, as server_version_num */
  postgres_version_num: z.number().int(),
  wal_segment_bytes: z.number().refine((bytes) => SEGMENT_SIZES.includes(bytes), 'no size of segments'),
  timeline: Timeline,
  start_lsn: Lsn,
  stop_lsn: Lsn,
  started_at: z.iso.datetime(),
  /** the server's clock after the last byte: the earliest time that can be restored to */
  stopped_at: z.iso.datetime(),
  /** text of backup_label and of tablespace_map, as in base.tar */
  backup_label: z.string(),
  tablespace_map: z.string().nullable(),
  /** backup_id of the parent; null for a full backup */
  parent: z.string().nullable(),
  /** the base directory first, then the tablespaces; concatenated parts are one .tar.zst each */
  archives: listOf(ArchiveEntry),
  backup_manifest: PartEntry,
  /** key of the segment that holds the byte before stop_lsn: the WAL that the backup itself belongs to; null when not known */
  stop_segment_key: z.string().nullish(),
  /** hex SHA-256 of the server's previous manifest object, null for its first */
  previous_manifest_sha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .nullable(),
})

export const Manifest = Fields.refine(({ start_lsn, stop_lsn }) => {
  const bytes = parseLsn(stop_lsn) - parseLsn(start_lsn)
  return bytes >= 0n && bytes <= MAX_BACKUP_WAL
}, 'it does not lie between start_lsn and stop_lsn')

export type Manifest = z.infer<typeof Manifest>
export type PartEntry = z.infer<typeof PartEntry>

/** The stored text of a manifest: indented, so that a person with a shell can read it. */
export function formatManifest(manifest: Manifest): Buffer {
  return Buffer.from(JSON.stringify(manifest, null, 1) + '\n')
}

/** Reads a stored manifest. Throws `manifest_invalid` naming `key`. */
export function parseManifest(key: string, content: Buffer): Manifest {
  return parseJsonManifest(Manifest, key, content)
}

/** Reads a manifest of either kind. Throws `manifest_invalid` naming `key`. */
export function parseJsonManifest<T>(format: z.ZodType<T>, key: string, content: Buffer): T {
  let json: unknown
  try {
    json = JSON.parse(content.toString('utf8'))
  } catch (cause) {
    throw new PostboxError('manifest_invalid', `${key} is not JSON`, 'Restore another backup; see postbox list.', {
      cause,
    })
  }
  const parsed = format.safeParse(json)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]
    throw new PostboxError(
      'manifest_invalid',
      `${key} is not a manifest of format 1: ${issue?.path.join('.') ?? ''} ${issue?.message ?? ''}`,
      'It may come from a newer Postbox: use that version, or restore another backup.',
    )
  }
  return parsed.data
}
