import { createHash } from 'node:crypto'
import type { DumpedTable } from '../box/dump-manifest.js'
import { pageRanges, type PageRange } from '../source/copy-out.js'
import type { DumpTable } from '../source/dump-table.js'

/** One COPY: a table, or a range of it. */
export interface Slice {
  table: DumpTable
  dumped: DumpedTable
  index: number
  range: PageRange | null
}

/** What is to be copied, in that order, and where it is noted. */
export interface DumpPlan {
  slices: Slice[]
  dumped: DumpedTable[]
  /** of all tables on disk */
  bytes: number
}

export function planDump(tables: readonly DumpTable[], splitBytes: number): DumpPlan {
  const plans = tables.map((table) => {
    const dumped: DumpedTable = {
      schema: table.schema,
      name: table.name,
      columns: table.columns.map(({ name }) => name),
      masked: table.columns.filter(({ mask }) => mask !== null).map(({ name }) => name),
      where: table.where?.sql ?? null,
      copy_into: table.root,
      rows: 0,
      raw_bytes: 0,
      sha256: '',
      slices: [],
    }
    return { dumped, slices: pageRanges(table, splitBytes).map((range, index) => ({ table, dumped, index, range })) }
  })
  return {
    slices: plans.flatMap(({ slices }) => slices),
    dumped: plans.map(({ dumped }) => dumped),
    bytes: tables.reduce((sum, { bytes }) => sum + bytes, 0),
  }
}

/** Sums up a table whose slices are all stored. */
export function sumUp(table: DumpedTable): DumpedTable {
  const text = table.slices.map(({ sha256 }) => `${sha256}\n`).join('')
  return {
    ...table,
    rows: table.slices.reduce((sum, { rows }) => sum + rows, 0),
    raw_bytes: table.slices.reduce((sum, { raw_bytes }) => sum + raw_bytes, 0),
    sha256: createHash('sha256').update(text).digest('hex'),
  }
}
