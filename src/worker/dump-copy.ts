import { createHash } from 'node:crypto'
import type { Readable } from 'node:stream'
import type pg from 'pg'
import type { DumpedTable } from '../box/dump-manifest.js'
import { dumpPartKey, dumpSqlKey, type Home } from '../box/key-names.js'
import type { PartEntry } from '../box/manifest.js'
import { CopyOut, cutFrames } from '../source/copy-out.js'
import { dumpError } from '../source/dump-session.js'
import type { Section } from '../source/pg-dump-arguments.js'
import { compressFrame } from '../transform/compress.js'
import { FramePool, sharedMemory } from '../transform/frame-pool.js'
import { inOrder } from '../transform/in-order.js'
import { PartBuilder, type BuiltPart } from '../transform/part-builder.js'
import type { Slice } from './dump-plan.js'
import type { PartUploader } from './part-uploader.js'

export interface DumpCopyOptions {
  home: Home
  dumpId: string
  /** of the rows */
  encoding: string
  compressionLevel: number
  partBytes: number
  frameBytes: number
  onStored: (entry: PartEntry) => Promise<void>
}

/** What one stream became. */
type Stored = Omit<DumpedTable['slices'][number], 'rows'>

/** Carries streams of a dump into the box: frames → parts → posts, several streams side by side. */
export class DumpCopy {
  /** what is posted, or grows until it is, of all streams */
  readonly #parts: FramePool

  constructor(
    readonly options: DumpCopyOptions,
    readonly uploader: PartUploader,
  ) {
    this.#parts = new FramePool(2 * uploader.connections, options.partBytes, sharedMemory)
  }

  /** Copies one slice and notes it in its table. Rejects with the table's name. */
  async copySlice(client: pg.Client, { table, dumped, index, range }: Slice): Promise<void> {
    const { home, dumpId, encoding } = this.options
    try {
      const copy = new CopyOut(client, table, range, encoding)
      const stored = await this.#store(copy.rows, (part, sha256) =>
        dumpPartKey(home, dumpId, table, index, part, sha256),
      )
      dumped.slices[index] = { rows: await copy.count, ...stored }
    } catch (thrown) {
      throw dumpError(`table ${table.sql}`, thrown)
    }
  }

  async storeSection(section: Section, text: Readable): Promise<PartEntry[]> {
    const { home, dumpId } = this.options
    return (await this.#store(text, (part, sha256) => dumpSqlKey(home, dumpId, section, part, sha256))).parts
  }

  async #store(stream: Readable, keyOf: (part: number, sha256: Buffer) => string): Promise<Stored> {
    const { compressionLevel, frameBytes, onStored } = this.options
    const builder = new PartBuilder(this.#parts)
    const hash = createHash('sha256')
    const parts: PartEntry[] = []
    const upload = async (built: BuiltPart | null) => {
      if (!built) return
      const key = keyOf(parts.length, built.sha256)
      const entry = { key, bytes: built.bytes, sha256: built.sha256.toString('hex'), raw_bytes: built.rawBytes }
      parts.push(entry)
      const chunks = [built.memory.subarray(0, built.bytes)]
      await this.uploader.add({ ...built, key, chunks, contentType: 'application/zstd' }, () => {
        // The box has said that it has every byte.
        this.#parts.release(built.memory)
        return onStored(entry)
      })
    }
    const compress = async (raw: Buffer) => {
      hash.update(raw)
      return { frame: await compressFrame(raw, compressionLevel), rawBytes: raw.length }
    }
    for await (const { frame, rawBytes } of inOrder(cutFrames(stream, frameBytes), 2, compress)) {
      await upload(builder.add(frame, rawBytes))
    }
    await upload(builder.finish())
    return { raw_bytes: parts.reduce((sum, part) => sum + part.raw_bytes, 0), sha256: hash.digest('hex'), parts }
  }
}
