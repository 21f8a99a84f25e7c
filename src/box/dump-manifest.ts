import { z } from 'zod'
import { listOf, Lsn, parseJsonManifest, PartEntry, Timeline } from './manifest.js'

/** SQL that pg_dump printed; concatenated parts are one .sql.zst. */
const Section = listOf(PartEntry)

const Sha256 = z.string().regex(/^[0-9a-f]{64}$/)
const Count = z.number().int().nonnegative()
const Name = z.object({ schema: z.string(), name: z.string() })

/** What one COPY gave of a table. */
export const DumpedSlice = z.object({ rows: Count, raw_bytes: Count, sha256: Sha256, parts: listOf(PartEntry) })

/** The rows of one table. */
export const DumpedTable = z.object({
  schema: z.string(),
  name: z.string(),
  /** fields of a row, in order; without generated columns */
  columns: listOf(z.string()),
  /** those of them that hold something else than the database does */
  masked: listOf(z.string()),
  /** only these rows; null for all */
  where: z.string().nullable(),
  /** the partitioned table that the rows must go through, because its partitions may divide them otherwise elsewhere */
  copy_into: Name.nullable(),
  rows: Count,
  raw_bytes: Count,
  /** hex, of a text: the SHA-256 of each slice and a line feed */
  sha256: Sha256,
  /** each is a COPY of its own; its concatenated parts are one .copy.zst */
  slices: listOf(DumpedSlice),
})

/** The commit of a dump, format version 1. Written last; FORMAT.md explains each field. */
export const DumpManifest = z.object({
  postbox_manifest: z.literal(1),
  kind: z.literal('dump'),
  server: z.string(),
  system_identifier: z.string().regex(/^\d+$/),
  dump_id: z.string(),
  label: z.string().nullable(),
  database: z.string(),
  /** of the rows, as COPY's option ENCODING takes it */
  encoding: z.string(),
  postgres_version_num: z.number().int(),
  /** as the program says it */
  pg_dump_version: z.string(),
  timeline: Timeline.nullable(),
  snapshot_lsn: Lsn,
  snapshot_at: z.iso.datetime(),
  /** key of the dump's manifest that was stored before, of the same life; null for the first */
  previous_manifest: z.string().nullable().default(null),
  /** all of the database: nothing left out, filtered or masked */
  whole: z.boolean(),
  masked: z.boolean(),
  /** what was asked for */
  chosen: z.object({
    only: z.enum(['schema', 'data']).nullable(),
    schemas: listOf(z.string()).nullable(),
    tables: listOf(Name).nullable(),
    exclude: listOf(z.string()),
    exclude_data: listOf(z.string()),
    row_security: z.boolean(),
  }),
  /** what pg_dump warned of, and what a masked dump left out */
  warnings: listOf(z.string()),
  sections: z.object({
    /** what makes the database itself */
    database: Section,
    /** what drops everything that the dump holds */
    drop: Section,
    'pre-data': Section,
    data: Section,
    'post-data': Section,
  }),
  tables: listOf(DumpedTable),
})

export type DumpManifest = z.infer<typeof DumpManifest>
export type DumpedTable = z.infer<typeof DumpedTable>

/** The stored text of a dump's manifest: indented, so that a person with a shell can read it. */
export function formatDumpManifest(manifest: DumpManifest): Buffer {
  return Buffer.from(JSON.stringify(manifest, null, 1) + '\n')
}

/** Reads the stored manifest of a dump. Throws `manifest_invalid` naming `key`. */
export function parseDumpManifest(key: string, content: Buffer): DumpManifest {
  return parseJsonManifest(DumpManifest, key, content)
}

/** Every part of a dump. */
export function partsOfDump({ sections, tables }: DumpManifest): PartEntry[] {
  return [...Object.values(sections).flat(), ...tables.flatMap(({ slices }) => slices.flatMap(({ parts }) => parts))]
}
