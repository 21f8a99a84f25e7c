import type { TableProgress } from '../catalog/jobs.js'
import type { FilledFrame } from '../source/frames.js'
import type { DumpTable } from '../source/dump-table.js'
import type { Slice } from './dump-plan.js'

/** Counts what was read of each table. */
export class DumpProgress {
  /** slices that have not ended yet */
  readonly #left = new Map<DumpTable, number>()
  readonly #copying = new Map<DumpTable, number>()
  readonly #total: number

  constructor(slices: readonly Slice[]) {
    for (const { table } of slices) this.#left.set(table, (this.#left.get(table) ?? 0) + 1)
    this.#total = this.#left.size
  }

  /** The frames of a slice that begins, counted. */
  async *counted({ table }: Slice, frames: AsyncIterable<FilledFrame>): AsyncGenerator<FilledFrame> {
    this.#add(table, 0)
    for await (const frame of frames) {
      this.#add(table, frame.bytes)
      yield frame
    }
  }

  /** All of a slice is on its way to the box. */
  end({ table }: Slice): void {
    const left = this.#left.get(table)! - 1
    this.#left.set(table, left)
    if (left > 0) return
    this.#left.delete(table)
    this.#copying.delete(table)
  }

  report(): TableProgress {
    const copying = [...this.#copying].map(([{ sql, bytes }, done]) => ({
      table: sql,
      bytes_done: done,
      bytes_total: bytes,
    }))
    return { done: this.#total - this.#left.size, total: this.#total, copying }
  }

  #add(table: DumpTable, bytes: number): void {
    this.#copying.set(table, (this.#copying.get(table) ?? 0) + bytes)
  }
}
