import { mkdir, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { Catalog } from '../../src/catalog/catalog.js'
import { ClockWatch } from '../../src/worker/clock-watch.js'
import { DiskWatch, type DiskSpace } from '../../src/worker/disk-watch.js'
import { scratchDir } from '../sandbox/scratch.js'

const catalogOf = (directory: string | null) =>
  ({ checks: { walDirectory: () => Promise.resolve(directory) } }) as unknown as Catalog

describe('the disk that is reported', () => {
  test('changes by a hundredth of the disk, and near its end by a tenth of what is left', async () => {
    let free = 50
    const watch = new DiskWatch(catalogOf('/pg_wal'), () => Promise.resolve({ free_bytes: free, total_bytes: 100 }))
    const shown = async (now: number) => {
      free = now
      return (await watch.look())?.free_bytes
    }
    expect(await shown(50)).toBe(50)
    expect(await shown(49.5)).toBe(50)
    expect(await shown(48.9)).toBe(48.9)
    expect(await shown(1.4)).toBe(1.4)
    expect(await shown(1.3)).toBe(1.4)
    expect(await shown(0.49)).toBe(0.49)
    expect(await shown(0)).toBe(0)
  })

  test('is none for a worker elsewhere, or when it cannot be seen', async () => {
    const space: DiskSpace = { free_bytes: 1, total_bytes: 2 }
    expect(await new DiskWatch(catalogOf(null), () => Promise.resolve(space)).look()).toBeNull()
    expect(await new DiskWatch(catalogOf('/x'), () => Promise.reject(new Error('EACCES'))).look()).toBeNull()
  })

  test('is said to be that of the data directory where pg_wal cannot be entered', async () => {
    const data = join(await scratchDir('disk'), 'data')
    await mkdir(join(data, 'elsewhere'), { recursive: true })
    await symlink(join(data, 'elsewhere'), join(data, 'pg_wal'))
    const seen = await new DiskWatch(catalogOf(join(data, 'pg_wal'))).look()
    expect(seen).toEqual({ free_bytes: expect.any(Number) as number, total_bytes: expect.any(Number) as number })
    const behind = await new DiskWatch(catalogOf(join(data, 'closed'))).look()
    expect(behind).toMatchObject({ of_data_directory: true })
  })
})

describe('the clocks that are reported', () => {
  test('are steady while they waver', () => {
    const watch = new ClockWatch()
    const shown = (ms: number) => {
      watch.sawBox(ms)
      return watch.facts().box_skew_seconds
    }
    expect(watch.facts()).toEqual({})
    expect(shown(9_999)).toBe(0)
    expect(shown(60_400)).toBe(60)
    expect(shown(69_000)).toBe(60)
    expect(shown(71_000)).toBe(71)
    expect(shown(-1000)).toBe(0)
  })
})
