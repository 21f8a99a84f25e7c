import { createHash } from 'node:crypto'
import { parseDumpManifest, partsOfDump, type DumpManifest } from '../../src/box/dump-manifest.js'
import { parseDumpManifestKey } from '../../src/box/key-names.js'
import type { PartEntry } from '../../src/box/manifest.js'
import { decompress } from '../../src/keyholder/zstd.js'
import type { BackedUpServer } from '../sandbox/backed-up-server.js'

/** Manifests of dumps in the bucket, oldest first. */
export function storedDumps({ bucket }: BackedUpServer): DumpManifest[] {
  const keys = bucket.keys().filter((key) => parseDumpManifestKey(key))
  return keys.map((key) => parseDumpManifest(key, bucket.get(key)))
}

/**
 * What is wrong with the dumps: nothing, whatever happened before.
 *
 * Every manifest names only parts that are there and are what it says, and has the rows and bytes that it says; every
 * row of backup.dumps is that of a manifest.
 */
export async function wrongDumps(
  backedUp: BackedUpServer,
  wrongPart: (part: PartEntry) => string[],
): Promise<string[]> {
  const manifests = storedDumps(backedUp)
  const rows = await backedUp.postgres.query<Record<'dump_id' | 'manifest_key', string> & Totals>(
    'select dump_id, manifest_key, tables, table_rows, raw_bytes, stored_bytes from backup.dumps',
  )
  const wrong: string[] = []
  for (const manifest of manifests) {
    wrong.push(...partsOfDump(manifest).flatMap(wrongPart), ...(await wrongSlices(backedUp, manifest)))
  }
  for (const { dump_id, manifest_key, ...said } of rows) {
    const manifest = manifests.find((one) => one.dump_id === dump_id)
    if (!manifest || parseDumpManifestKey(manifest_key)?.dumpId !== dump_id) wrong.push(`${dump_id} has no manifest`)
    else if (JSON.stringify(said) !== JSON.stringify(totals(manifest))) {
      wrong.push(`${dump_id} is ${JSON.stringify(totals(manifest))} and its row says ${JSON.stringify(said)}`)
    }
  }
  return wrong
}

interface Totals {
  tables: number
  table_rows: string
  raw_bytes: string
  stored_bytes: string
}

function totals(manifest: DumpManifest): Totals {
  const sum = (of: readonly number[]) => String(of.reduce((one, other) => one + other, 0))
  const parts = partsOfDump(manifest)
  return {
    tables: manifest.tables.length,
    table_rows: sum(manifest.tables.map(({ rows }) => rows)),
    raw_bytes: sum(parts.map(({ raw_bytes }) => raw_bytes)),
    stored_bytes: sum(parts.map(({ bytes }) => bytes)),
  }
}

async function wrongSlices({ bucket }: BackedUpServer, { dump_id, tables }: DumpManifest): Promise<string[]> {
  const wrong: string[] = []
  for (const { name, slices } of tables) {
    for (const [index, { parts, rows, raw_bytes, sha256 }] of slices.entries()) {
      const hash = createHash('sha256')
      let found = 0
      let bytes = 0
      for (const { key } of parts) {
        const raw = await decompress(bucket.get(key), key)
        hash.update(raw)
        bytes += raw.length
        found += raw.filter((byte) => byte === 0x0a).length
      }
      const right = found === rows && bytes === raw_bytes && hash.digest('hex') === sha256
      if (!right) wrong.push(`slice ${index} of ${name} in ${dump_id} is not what its manifest says`)
    }
  }
  return wrong
}
