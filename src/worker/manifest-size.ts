import type { DumpManifest } from '../box/dump-manifest.js'
import { dumpPartKey, type Home } from '../box/key-names.js'
import type { PartEntry } from '../box/manifest.js'
import { PostboxError } from '../errors.js'
import type { DumpPlan } from './dump-plan.js'

/** What stands in a manifest beside tables and what was chosen; warnings of pg_dump are the most of it. */
const REST_BYTES = 32 * 1024
/** Of the room for parts: how much may be planned for. */
const PLANNED = 0.9

/** Numbers of as many digits as they may have. */
const COUNTED = { rows: 1e10, raw_bytes: 1e10, sha256: 'f'.repeat(64) }

/** Of a part, as deep as it stands in the manifest: a line feed, a comma and six spaces of indentation for each line. */
const entryBytes = (entry: PartEntry): number => {
  const text = JSON.stringify(entry, null, 1)
  return Buffer.byteLength(text) + 2 + 6 * text.split('\n').length
}

/** Counts how large the manifest of a dump will be: it is posted as one object, which the grant limits. */
export class ManifestSize {
  #left: number

  /**
   * @param limit bytes of one object
   * @param slices how many each of the tables has
   * @throws `dump_refused` when not even its tables find room
   */
  constructor(
    readonly limit: number,
    chosen: DumpManifest['chosen'],
    readonly plan: DumpPlan,
  ) {
    const slices = Map.groupBy(plan.slices, ({ dumped }) => dumped)
    const slice = { ...COUNTED, parts: [] }
    const tables = plan.dumped.map((table) => ({ ...table, ...COUNTED, slices: slices.get(table)!.map(() => slice) }))
    this.#left = limit - REST_BYTES - Buffer.byteLength(JSON.stringify({ chosen, tables }, null, 1))
    if (this.#left < 0) throw this.#tooLarge()
  }

  /** How large parts must be so that all find room, when nothing gets smaller by compression. */
  leastPartBytes(home: Home, dumpId: string): number {
    const [largest] = this.plan.slices
    if (!largest) return 0
    const key = dumpPartKey(home, dumpId, largest.table, 0, 0, Buffer.alloc(0))
    const parts = (this.#left * PLANNED) / entryBytes({ key, bytes: 1e7, raw_bytes: 1e7, sha256: COUNTED.sha256 })
    return Math.ceil(this.plan.bytes / Math.max(1, parts))
  }

  /** Throws `dump_refused` as soon as it is clear that the manifest could not be stored. */
  add(entry: PartEntry): void {
    this.#left -= entryBytes(entry)
    if (this.#left < 0) throw this.#tooLarge()
  }

  #tooLarge(): PostboxError {
    return new PostboxError(
      'dump_refused',
      `the manifest of the dump would be larger than the ${this.limit} bytes that the grant allows for one object`,
      'Sign grants with a larger --max-part-bytes, or dump schema by schema.',
    )
  }
}
