import { expect, test } from 'vitest'
import { dumpMemory } from '../../src/worker/dump-memory.js'

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
