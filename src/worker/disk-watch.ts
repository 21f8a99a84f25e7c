import { statfs } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Catalog } from '../catalog/catalog.js'

export interface DiskSpace {
  free_bytes: number
  total_bytes: number
  /** it is the disk of the data directory: whether the WAL lies there as well cannot be seen */
  of_data_directory?: true
}

/** Each report is a row, which is WAL. Of the disk, and of what is left of it. */
const STEP = 0.01
const STEP_OF_FREE = 0.1

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
      shown.of_data_directory === space.of_data_directory &&
      Math.abs(space.free_bytes - shown.free_bytes) <
        Math.min(STEP * space.total_bytes, STEP_OF_FREE * shown.free_bytes)
    if (!isNear) this.#shown = space
    return this.#shown
  }
}

/**
 * What an ordinary user may still write. A worker that may not enter the data directory sees that one's disk, on which
 * pg_wal lies unless it is a link.
 */
async function spaceOf(directory: string): Promise<DiskSpace> {
  const seen = await diskOf(directory).catch(() => null)
  return seen ?? { ...(await diskOf(dirname(directory))), of_data_directory: true }
}

async function diskOf(directory: string): Promise<DiskSpace> {
  const { bavail, blocks, bsize } = await statfs(directory)
  return { free_bytes: bavail * bsize, total_bytes: blocks * bsize }
}
