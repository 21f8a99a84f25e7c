import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

export interface PageReport {
  files: number
  /** pages with content; new ones, all zero, carry no checksum and are not counted */
  pages: number
  /** one line per bad page or file */
  bad: string[]
}

const PAGE_BYTES = 8192
const PAGES_PER_FILE = 131_072
const CHECKSUM_AT = 8
const UPPER_AT = 14

/** Main fork, free space map, visibility map or init fork of a relation, and which file of 1 GiB of it. */
const RELATION_FILE = /^\d+(?:_(?:fsm|vm|init))?(?:\.(\d+))?$/

/** Verifies every page of every relation in a data directory whose server was stopped cleanly. */
export async function verifyPageChecksums(dataDir: string): Promise<PageReport> {
  const report: PageReport = { files: 0, pages: 0, bad: [] }
  for (const directory of await relationDirectories(dataDir)) {
    for (const name of await readdir(join(dataDir, directory))) {
      const match = RELATION_FILE.exec(name)
      if (match) await verifyFile(dataDir, join(directory, name), Number(match[1] ?? 0), report)
    }
  }
  return report
}

async function verifyFile(dataDir: string, file: string, fileNumber: number, report: PageReport): Promise<void> {
  const content = await readFile(join(dataDir, file))
  report.files++
  if (content.length % PAGE_BYTES !== 0) report.bad.push(`${file}: ${content.length} bytes are not whole pages`)
  for (let at = 0; at + PAGE_BYTES <= content.length; at += PAGE_BYTES) {
    const page = content.subarray(at, at + PAGE_BYTES)
    if (page.readUInt16LE(UPPER_AT) === 0 && page.every((byte) => byte === 0)) continue
    report.pages++
    const block = fileNumber * PAGES_PER_FILE + at / PAGE_BYTES
    const stored = page.readUInt16LE(CHECKSUM_AT)
    const computed = pageChecksum(page, block)
    if (stored !== computed)
      report.bad.push(`${file}: page ${block} has checksum ${stored}, but its bytes give ${computed}`)
  }
}

// Links in pg_tblspc are followed, as Postgres does.
async function relationDirectories(dataDir: string): Promise<string[]> {
  const inside = async (directory: string) =>
    (await readdir(join(dataDir, directory))).map((name) => join(directory, name))
  const databases = await inside('base')
  for (const tablespace of await inside('pg_tblspc')) {
    for (const version of await inside(tablespace)) {
      if (/\/PG_\d+_\d+$/.test(version)) databases.push(...(await inside(version)))
    }
  }
  return ['global', ...databases.filter((directory) => /\/\d+$/.test(directory))]
}

const SUMS = 32
const PRIME = 16_777_619

// Of storage/checksum_impl.h: arbitrary, but part of the format.
const OFFSETS = Uint32Array.of(
  ...[0x5b1f36e9, 0xb8525960, 0x02ab50aa, 0x1de66d2a, 0x79ff467a, 0x9bb9f8a3, 0x217e7cd2, 0x83e13d2c],
  ...[0xf8d4474f, 0xe39eb970, 0x42c6ae16, 0x993216fa, 0x7b093b5d, 0x98daff3c, 0xf718902a, 0x0b1c9cdb],
  ...[0xe58f764b, 0x187636bc, 0x5d7b3bb1, 0xe73de7de, 0x92bec979, 0xcca6c0b2, 0x304a0979, 0x85aa43d4],
  ...[0x783125bb, 0x6ca8eaa2, 0xe407eac6, 0x4b5cfc3e, 0x9fbf8c76, 0x15ca20be, 0xf2ca9fd3, 0x959bd756],
)

/**
 * Checksum of a page of `block`, with its own checksum field taken as zero.
 *
 * 32 FNV-1a hashes side by side over the page's words, folded into 16 bits (storage/checksum_impl.h).
 */
export function pageChecksum(page: Buffer, block: number): number {
  const words = new Int32Array(PAGE_BYTES / 4)
  const copy = Buffer.from(words.buffer)
  page.copy(copy)
  copy.writeUInt16LE(0, CHECKSUM_AT)
  const sums = Int32Array.from(OFFSETS)
  for (let at = 0; at < words.length; at++) mix(sums, at % SUMS, words[at]!)
  for (let round = 0; round < 2; round++) for (let at = 0; at < SUMS; at++) mix(sums, at, 0)
  const folded = sums.reduce((all, sum) => all ^ sum, 0)
  return (((folded ^ block) >>> 0) % 65_535) + 1
}

function mix(sums: Int32Array, at: number, word: number): void {
  const mixed = sums[at]! ^ word
  sums[at] = Math.imul(mixed, PRIME) ^ (mixed >>> 17)
}
