import { createHash } from 'node:crypto'
import type { Readable } from 'node:stream'
import type { DumpedTable } from '../box/dump-manifest.js'
import { dumpPartKey, dumpSqlKey, type Home } from '../box/key-names.js'
import type { PartEntry } from '../box/manifest.js'
import { CopyOut } from '../source/copy-out.js'
import { checkNames, dumpError, type DumpClient } from '../source/dump-session.js'
import { cutFrames, type FilledFrame } from '../source/frames.js'
import type { Section } from '../source/pg-dump-arguments.js'
import { CompressThreads } from '../transform/compress-threads.js'
import { FramePool, sharedMemory } from '../transform/frame-pool.js'
import { giveBack } from '../transform/give-back.js'
import { inOrder } from '../transform/in-order.js'
import { PartBuilder, type BuiltPart } from '../transform/part-builder.js'
import { FrameSupply } from '../transform/frame-supply.js'
import type { DumpMemory } from './dump-memory.js'
import type { Slice } from './dump-plan.js'
import type { DumpProgress } from './dump-progress.js'
import type { PartUploader } from './part-uploader.js'

export interface DumpCopyOptions {
  home: Home
  dumpId: string
  /** of the rows */
  encoding: string
  compressionLevel: number
  memory: DumpMemory
  /** frames compressed at once */
  threads: number
  progress: DumpProgress
  /** may refuse it */
  onBuilt: (entry: PartEntry) => void
  onStored: (entry: PartEntry) => Promise<void>
}

/** What one stream became. */
type Stored = Omit<DumpedTable['slices'][number], 'rows'>

/** Carries streams of a dump into the box: frames → parts → posts, several streams side by side. The caller disposes of it. */
export class DumpCopy {
  readonly #threads: CompressThreads
  /** what the streams fill */
  readonly #frames: FrameSupply
  /** what is posted, or grows until it is */
  readonly #parts: FramePool

  constructor(
    readonly options: DumpCopyOptions,
    readonly uploader: PartUploader,
  ) {
    const { memory, threads } = options
    this.#threads = new CompressThreads(threads)
    this.#frames = new FrameSupply(memory.frames, memory.frameBytes)
    this.#parts = new FramePool(memory.parts, memory.partBytes, sharedMemory)
  }

  /** Copies one slice and notes it in its table. Rejects with the table's name. */
  async copySlice(client: DumpClient, slice: Slice): Promise<void> {
    const { home, dumpId, encoding, progress } = this.options
    const { table, dumped, index, range } = slice
    try {
      const copy = new CopyOut(client, table, range, encoding)
      const frames = progress.counted(slice, copy.frames(this.#frames))
      const stored = await this.#store(frames, (part, sha256) => dumpPartKey(home, dumpId, table, index, part, sha256))
      dumped.slices[index] = { rows: await copy.count, ...stored }
      await checkNames(client, [table])
      progress.end(slice)
    } catch (thrown) {
      throw dumpError(`table ${table.sql}`, thrown)
    }
  }

  async storeSection(section: Section, text: Readable): Promise<PartEntry[]> {
    const { home, dumpId } = this.options
    const keyOf = (part: number, sha256: Buffer) => dumpSqlKey(home, dumpId, section, part, sha256)
    return (await this.#store(cutFrames(text, this.#frames), keyOf)).parts
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#threads.close()
  }

  async #store(frames: AsyncIterable<FilledFrame>, keyOf: (part: number, sha256: Buffer) => string): Promise<Stored> {
    const { compressionLevel, onBuilt, onStored } = this.options
    const builder = new PartBuilder(this.#parts)
    const hash = createHash('sha256')
    const parts: PartEntry[] = []
    const upload = async (built: BuiltPart | null) => {
      if (!built) return
      const key = keyOf(parts.length, built.sha256)
      const entry = { key, bytes: built.bytes, sha256: built.sha256.toString('hex'), raw_bytes: built.rawBytes }
      onBuilt(entry)
      parts.push(entry)
      const chunks = [built.memory.subarray(0, built.bytes)]
      await this.uploader.add({ ...built, key, chunks, contentType: 'application/zstd' }, () => {
        // The box has said that it has every byte.
        this.#parts.release(built.memory)
        return onStored(entry)
      })
    }
    const compress = async ({ buffer, bytes }: FilledFrame) => {
      const raw = buffer.subarray(0, bytes)
      hash.update(raw)
      const frame = await this.#threads.compressFrame(raw, compressionLevel)
      this.#frames.release(buffer)
      return { frame, rawBytes: bytes }
    }
    for await (const { frame, rawBytes } of inOrder(frames, 2, compress)) {
      // Before the next one begins, so that who waits for the box holds one part and not two.
      if (!builder.fits(frame.length)) await upload(builder.finish())
      builder.add(frame, rawBytes)
      giveBack(frame)
    }
    await upload(builder.finish())
    return { raw_bytes: parts.reduce((sum, part) => sum + part.raw_bytes, 0), sha256: hash.digest('hex'), parts }
  }
}
