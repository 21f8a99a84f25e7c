import { z } from 'zod'
import { parseAs, PartEntry } from './manifest.js'

/** SQL that pg_dump printed; concatenated parts are one .sql.zst. */
const Section = z.array(PartEntry)

/** The commit of a dump, format version 1. Written last; FORMAT.md explains each field. */
export const DumpManifest = z.object({
  postbox_manifest: z.literal(1),
  kind: z.literal('dump'),
  server: z.string(),
  system_identifier: z.string().regex(/^\d+$/),
  dump_id: z.string(),
  label: z.string().nullable(),
  database: z.string(),
  postgres_version_num: z.number().int(),
  /** as the program says it */
  pg_dump_version: z.string(),
  snapshot_lsn: z.string(),
  snapshot_at: z.iso.datetime(),
  /** whether it is the whole database */
  whole: z.boolean(),
  /** what pg_dump warned of */
  warnings: z.array(z.string()),
  sections: z.object({ database: Section, drop: Section, 'pre-data': Section, data: Section, 'post-data': Section }),
  tables: z.array(
    z.object({
      schema: z.string(),
      name: z.string(),
      /** in the order of the rows' fields; without generated ones */
      columns: z.array(z.string()),
      /** those of them that hold something else than the table did */
      masked: z.array(z.string()),
      rows: z.number().int().nonnegative(),
      raw_bytes: z.number().int().nonnegative(),
      /** each is a COPY of its own; its concatenated parts are one .copy.zst */
      slices: z.array(z.object({ rows: z.number().int().nonnegative(), parts: z.array(PartEntry) })),
    }),
  ),
})

export type DumpManifest = z.infer<typeof DumpManifest>

/** The stored text of a dump's manifest: indented, so that a person with a shell can read it. */
export function formatDumpManifest(manifest: DumpManifest): Buffer {
  return Buffer.from(JSON.stringify(manifest, null, 1) + '\n')
}

/** Reads a stored manifest of a dump. Throws `manifest_invalid` naming `key`. */
export function parseDumpManifest(key: string, content: Buffer): DumpManifest {
  return parseAs(DumpManifest, key, content)
}

/** Every part that a dump is made of. */
export function partsOfDump({ sections, tables }: DumpManifest): PartEntry[] {
  const rows = tables.flatMap(({ slices }) => slices.flatMap(({ parts }) => parts))
  return [...Object.values(sections).flat(), ...rows]
}

/** Whether it holds something else than the database held. */
export function isMasked({ tables }: DumpManifest): boolean {
  return tables.some(({ masked }) => masked.length > 0)
}
