import { expect, test } from 'vitest'
import { formatDumpManifest, type DumpManifest } from '../../src/box/dump-manifest.js'
import { dumpPartKey } from '../../src/box/key-names.js'
import type { PartEntry } from '../../src/box/manifest.js'
import type { DumpTable } from '../../src/source/dump-table.js'
import { dumpMemory } from '../../src/worker/dump-memory.js'
import { planDump, sumUp, type DumpPlan } from '../../src/worker/dump-plan.js'
import { ManifestSize } from '../../src/worker/manifest-size.js'

const MIB = 1024 * 1024

test.each([1, 3, 9, 65])('a dump of %i streams takes 62 MiB at most for parts and frames', (streams) => {
  const settings = { part_bytes: 16 * MIB, upload_connections: 4 }
  const { parts, partBytes, frames, frameBytes } = dumpMemory(settings, { max_part_bytes: 64 * MIB }, streams, 2)
  expect(parts * partBytes).toBeLessThanOrEqual(40 * MIB)
  expect(frames * (frameBytes + MIB / 4)).toBeLessThanOrEqual(22 * MIB)
  // Each stream grows one while others are posted, and each fills a frame while others are compressed.
  expect(parts).toBe(streams + 4)
  expect(frames).toBeGreaterThan(streams)
  expect(frameBytes).toBeLessThan(partBytes)
})

test('a grant that allows only small parts is kept', () => {
  const settings = { part_bytes: 16 * MIB, upload_connections: 4 }
  expect(dumpMemory(settings, { max_part_bytes: MIB }, 3, 2).partBytes).toBeLessThanOrEqual(MIB)
})

/** 2 TB that do not get smaller, as one table with a long name and a hundred others. */
const tables = [2e12, ...Array<number>(100).fill(1e6)].map((bytes, at): DumpTable => {
  const name = `${'measurements'.repeat(4)}_${at}`
  const columns = [{ name: 'n', type: 'integer', mask: null }]
  const pages = Math.ceil(bytes / 8192)
  return {
    oid: at + 16384,
    schema: 'public',
    name,
    sql: name,
    columns,
    where: null,
    root: null,
    bytes,
    pages,
    divisible: true,
  }
})
const chosen = { only: null, schemas: null, tables: null, exclude: [], exclude_data: [], row_security: false }
const home = { server: 'db1', systemIdentifier: '7776981729080327600' }

/** The manifest of a plan whose first slice has so many parts. */
function manifestBytes({ slices, dumped }: DumpPlan, entries: PartEntry[]): number {
  for (const [at, { dumped: table, index }] of slices.entries()) {
    table.slices[index] = { rows: 1e9, raw_bytes: 1e9, sha256: 'f'.repeat(64), parts: at === 0 ? entries : [] }
  }
  return formatDumpManifest({ chosen, tables: dumped.map(sumUp) } as unknown as DumpManifest).length
}

const entryOf =
  (plan: DumpPlan) =>
  (at: number): PartEntry => {
    const key = dumpPartKey(home, '20261125T045548Z-205f', plan.slices[0]!.table, at % 2000, at, Buffer.alloc(32))
    return { key, bytes: 9e6, sha256: 'f'.repeat(64), raw_bytes: 9e6 }
  }

test('the manifest of 2 TB over 32 connections fits into one object, and memory is kept', () => {
  const settings = { part_bytes: 16 * MIB, upload_connections: 4 }
  const plan = planDump(tables, 1024 * MIB)
  const size = new ManifestSize(64 * MIB, chosen, plan)
  const least = size.leastPartBytes(home, '20261125T045548Z-205f')
  const memory = dumpMemory(settings, { max_part_bytes: 64 * MIB }, 33, 32, least)
  expect(memory.parts * memory.partBytes).toBeLessThanOrEqual(40 * MIB)
  expect(memory.streams).toBeGreaterThan(1)
  expect(memory.uploads).toBeGreaterThan(0)
  const entries = Array.from({ length: Math.ceil(2e12 / memory.partBytes) }, (_, at) => entryOf(plan)(at))
  for (const entry of entries) size.add(entry)
  expect(manifestBytes(plan, entries)).toBeLessThan(64 * MIB)
})

test('a manifest that gets too large is refused by the part that is too much', () => {
  const plan = planDump(tables, 1024 * MIB)
  const size = new ManifestSize(4 * MIB, chosen, plan)
  const entries: PartEntry[] = []
  const add = () => {
    for (;;) {
      const entry = entryOf(plan)(entries.length)
      size.add(entry)
      entries.push(entry)
    }
  }
  expect(add).toThrow('larger than the 4194304 bytes that the grant allows')
  const bytes = manifestBytes(plan, entries)
  expect(bytes).toBeLessThan(4 * MIB)
  expect(bytes).toBeGreaterThan(3.9 * MIB)
  expect(() => new ManifestSize(MIB / 4, chosen, plan)).toThrow('larger than the 262144 bytes')
})

test('what is small is copied by as many connections as were asked for', () => {
  const settings = { part_bytes: 16 * MIB, upload_connections: 4 }
  expect(dumpMemory(settings, { max_part_bytes: 64 * MIB }, 65, 2, 100_000)).toMatchObject({ streams: 65, uploads: 4 })
})
