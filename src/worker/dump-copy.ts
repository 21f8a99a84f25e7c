import { dumpPartKey, dumpSqlKey, type Home } from '../box/key-names.js'
import type { DumpManifest } from '../box/dump-manifest.js'
import type { PartEntry } from '../box/manifest.js'
import type { Readable } from 'node:stream'
import type pg from 'pg'
import { copyOut, cutFrames, type PageRange } from '../source/copy-out.js'
import { dumpError, type DumpTable } from '../source/dump-session.js'
import type { Section } from '../source/pg-dump.js'
import { compressFrame } from '../transform/compress.js'
import { inOrder } from '../transform/in-order.js'
import { PartBuilder, type BuiltPart } from '../transform/part-builder.js'
import type { PartUploader } from './part-uploader.js'

export interface DumpCopyOptions {
  home: Home
  dumpId: string
  compressionLevel: number
  partBytes: number
  frameBytes: number
  onStored: (entry: PartEntry) => Promise<void>
}

export type DumpedTable = DumpManifest['tables'][number]

/** One COPY: a table, or a range of it. */
export interface Slice {
  table: DumpTable
  dumped: DumpedTable
  index: number
  range: PageRange | null
}

/** Carries streams of a dump into the box: frames → parts → posts, several streams side by side. */
export class DumpCopy {
  constructor(
    readonly options: DumpCopyOptions,
    readonly uploader: PartUploader,
  ) {}

  /** Copies one slice and notes it in its table. Rejects with the table's name. */
  async copySlice(client: pg.Client, { table, dumped, index, range }: Slice): Promise<void> {
    const { home, dumpId } = this.options
    try {
      const rows = copyOut(client, table, range)
      const key = (part: number, stored: Buffer) => dumpPartKey(home, dumpId, table, index, part, stored)
      const parts = await this.#store(rows, key)
      dumped.slices[index] = { rows: rows.rowCount, parts }
      dumped.rows += rows.rowCount
      dumped.raw_bytes += parts.reduce((sum, part) => sum + part.raw_bytes, 0)
    } catch (thrown) {
      throw dumpError(`table ${table.sql}`, thrown)
    }
  }

  storeSection(section: Section, text: Readable): Promise<PartEntry[]> {
    const { home, dumpId } = this.options
    return this.#store(text, (part, stored) => dumpSqlKey(home, dumpId, section, part, stored))
  }

  async #store(stream: Readable, keyOf: (part: number, stored: Buffer) => string): Promise<PartEntry[]> {
    const { compressionLevel, partBytes, frameBytes, onStored } = this.options
    const builder = new PartBuilder(partBytes)
    const entries: PartEntry[] = []
    const upload = async (built: BuiltPart | null) => {
      if (!built) return
      const key = keyOf(entries.length, built.sha256)
      const sha256 = built.sha256.toString('hex')
      const entry = { key, bytes: built.bytes, sha256, raw_bytes: built.rawBytes }
      entries.push(entry)
      await this.uploader.add({ ...built, key, contentType: 'application/zstd' }, () => onStored(entry))
    }
    const compress = async (raw: Buffer) => ({
      frame: await compressFrame(raw, compressionLevel),
      rawBytes: raw.length,
    })
    for await (const { frame, rawBytes } of inOrder(cutFrames(stream, frameBytes), 2, compress)) {
      await upload(builder.add(frame, rawBytes))
    }
    await upload(builder.finish())
    return entries
  }
}
