import { statfs } from 'node:fs/promises'
import type { Catalog } from '../catalog/catalog.js'

export interface DiskSpace {
  free_bytes: number
  total_bytes: number
}

/** Of the disk; each report is a row, which is WAL. */
const STEP = 0.01

/** The disk on which the server's WAL lies, where this process may see it. */
export class DiskWatch {
  #shown: DiskSpace | null = null

  constructor(
    readonly catalog: Catalog,
    readonly freeSpace: (directory: string) => Promise<DiskSpace> = spaceOf,
  ) {}

  /** As it is to be reported; null when it is not seen. Rejects as the catalog does. */
  async look(): Promise<DiskSpace | null> {
    const directory = await this.catalog.checks.walDirectory()
    const space = directory === null ? null : await this.freeSpace(directory).catch(() => null)
    const shown = this.#shown
    const isNear =
      space &&
      shown?.total_bytes === space.total_bytes &&
      Math.abs(space.free_bytes - shown.free_bytes) < STEP * space.total_bytes
    if (!isNear) this.#shown = space
    return this.#shown
  }
}

/** What an ordinary user may still write. A directory that is closed to us shares the disk of the one that holds it, as a rule. */
async function spaceOf(directory: string): Promise<DiskSpace> {
  const { bavail, blocks, bsize } = await statfs(directory).catch(() => statfs(directory.replace(/\/pg_wal$/, '')))
  return { free_bytes: bavail * bsize, total_bytes: blocks * bsize }
}
