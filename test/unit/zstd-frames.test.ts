import { constants, zstdCompressSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { PostboxError } from '../../src/errors.js'
import { splitFrames } from '../../src/keyholder/zstd-frames.js'
import { decompress, decompressFrame, framesOf } from '../../src/keyholder/zstd.js'

const contents = fc.oneof(
  fc.uint8Array({ maxLength: 70_000 }).map((bytes) => Buffer.from(bytes)),
  fc.nat({ max: 300_000 }).map((length) => Buffer.alloc(length, 7)),
)
const inputs = fc.record({
  raw: contents,
  level: fc.integer({ min: 1, max: 5 }),
  checksum: fc.constantFrom(0, 1),
  sized: fc.constantFrom(0, 1),
})

function compress({ raw, level, checksum, sized }: { raw: Buffer; level: number; checksum: number; sized: number }) {
  const params = {
    [constants.ZSTD_c_compressionLevel]: level,
    [constants.ZSTD_c_checksumFlag]: checksum,
    [constants.ZSTD_c_contentSizeFlag]: sized,
  }
  return zstdCompressSync(raw, { params })
}

describe('zstd frames', () => {
  test('are split where they were joined, and each holds what went in', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(inputs, { maxLength: 5 }), async (several) => {
        const frames = framesOf(Buffer.concat(several.map(compress)), 'key')
        expect(frames.map((one) => one.stored.length)).toEqual(several.map((one) => compress(one).length))
        for (const [index, frame] of frames.entries()) {
          const { raw, sized } = several[index]!
          if (sized) expect(frame.rawBytes).toBe(raw.length)
          expect(raw.equals(await decompressFrame(frame, 'key'))).toBe(true)
        }
      }),
      { numRuns: 50 },
    )
  })

  test('that are larger than usual and do not say so are still decompressed whole', async () => {
    const raw = Buffer.alloc(9 * 1024 * 1024, 'postbox ')
    const held = await decompress(compress({ raw, level: 1, checksum: 0, sized: 0 }), 'key')
    expect(raw.equals(held)).toBe(true)
  })

  test('may have skippable frames between them', () => {
    const skippable = Buffer.concat([Buffer.from([0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0]), Buffer.from('abc')])
    const frame = zstdCompressSync(Buffer.from('x'))
    expect([...splitFrames(Buffer.concat([skippable, frame, skippable, frame]))].length).toBe(2)
  })

  test('that are cut anywhere are found out', () => {
    const frame = compress({ raw: Buffer.from('some text '.repeat(500)), level: 3, checksum: 1, sized: 1 })
    for (let length = 1; length < frame.length; length++) {
      expect(() => [...splitFrames(frame.subarray(0, length))], `cut to ${length}`).toThrow(RangeError)
    }
  })

  test('that are none are reported by key', async () => {
    const failing = decompress(Buffer.from('not zstd at all'), 'db1/1/part')
    await expect(failing).rejects.toThrow(PostboxError)
    await expect(failing).rejects.toMatchObject({ code: 'object_damaged', message: 'db1/1/part is not valid zstd' })
  })
})
