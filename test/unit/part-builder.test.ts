import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { FramePool } from '../../src/transform/frame-pool.js'
import { PartBuilder, type BuiltPart } from '../../src/transform/part-builder.js'

test('parts hold all frames in order, whole, hashed, and each in one buffer', () => {
  const frames = fc.array(fc.uint8Array({ minLength: 1, maxLength: 60 }).map((bytes) => Buffer.from(bytes)))
  fc.assert(
    fc.property(frames, fc.integer({ min: 60, max: 200 }), (all, partBytes) => {
      const pool = new FramePool(2, partBytes)
      const builder = new PartBuilder(pool)
      const parts = [...all.map((frame) => builder.add(frame, 7)), builder.finish()].filter(
        (part): part is BuiltPart => part !== null,
      )
      const storeds = parts.map(({ memory, bytes }) => memory.subarray(0, bytes))
      expect(Buffer.concat(storeds)).toEqual(Buffer.concat(all))
      expect(parts.reduce((sum, { rawBytes }) => sum + rawBytes, 0)).toBe(all.length * 7)
      for (const [at, part] of parts.entries()) {
        const stored = storeds[at]!
        expect(part.sha256).toEqual(createHash('sha256').update(stored).digest())
        expect(part.md5).toEqual(createHash('md5').update(stored).digest())
      }
      expect(builder.finish()).toBeNull()
    }),
  )
})
