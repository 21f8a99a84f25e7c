import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { PartBuilder, type BuiltPart } from '../../src/transform/part-builder.js'

test('parts hold all frames in order, whole, hashed, and none is longer than asked unless one frame is', () => {
  const frames = fc.array(fc.uint8Array({ minLength: 1, maxLength: 60 }).map((bytes) => Buffer.from(bytes)))
  fc.assert(
    fc.property(frames, fc.integer({ min: 1, max: 100 }), (all, partBytes) => {
      const builder = new PartBuilder(partBytes)
      const parts = [...all.map((frame) => builder.add(frame, 7)), builder.finish()].filter(
        (part): part is BuiltPart => part !== null,
      )
      expect(Buffer.concat(parts.flatMap((part) => part.chunks))).toEqual(Buffer.concat(all))
      for (const part of parts) {
        const stored = Buffer.concat(part.chunks)
        expect(part.bytes).toBe(stored.length)
        expect(part.rawBytes).toBe(part.chunks.length * 7)
        expect(part.sha256).toEqual(createHash('sha256').update(stored).digest())
        expect(part.md5).toEqual(createHash('md5').update(stored).digest())
        if (part.chunks.length > 1) expect(part.bytes).toBeLessThanOrEqual(partBytes)
      }
      expect(builder.finish()).toBeNull()
    }),
  )
})
