import { createHash, randomBytes } from 'node:crypto'
import { zstdDecompressSync } from 'node:zlib'
import { afterAll, expect, test } from 'vitest'
import { FRAME_BYTES, sharedMemory } from '../../src/transform/frame-pool.js'
import type * as Shipped from '../../src/transform/compress-threads.js'

// As it is shipped: a thread starts from a file of its own.
const shipped = new URL('../../dist/transform/compress-threads.js', import.meta.url).href
const { CompressThreads } = (await import(shipped)) as typeof Shipped

const threads = new CompressThreads(2)

afterAll(() => threads.close())

const hash = (name: string, chunks: readonly Buffer[]) => createHash(name).update(Buffer.concat(chunks)).digest('hex')

test('segments compressed at once come back whole, each as its own frames and hashes', async () => {
  const sizes = [1024 * 1024, FRAME_BYTES * 4, FRAME_BYTES + 1, 100]
  const raws = sizes.map((bytes) => {
    const raw = sharedMemory(bytes)
    // Half of it compresses.
    randomBytes(Math.ceil(bytes / 2)).copy(raw)
    return raw
  })
  const all = await Promise.all(raws.map((raw) => threads.compressSegment(raw, 3)))
  for (const [at, { chunks, sha256, md5 }] of all.entries()) {
    expect(chunks).toHaveLength(Math.ceil(sizes[at]! / FRAME_BYTES))
    expect(Buffer.concat(chunks.map((chunk) => zstdDecompressSync(chunk))).equals(raws[at]!)).toBe(true)
    expect(sha256.toString('hex')).toBe(hash('sha256', chunks))
    expect(md5.toString('hex')).toBe(hash('md5', chunks))
  }
})

test('a compression that fails fails that segment, and the next one is compressed all the same', async () => {
  await expect(threads.compressSegment(sharedMemory(100), 'none' as never)).rejects.toMatchObject({ code: 'internal' })
  const { chunks } = await threads.compressSegment(sharedMemory(100), 1)
  expect(zstdDecompressSync(chunks[0]!)).toHaveLength(100)
})

test('threads that are closed reject what they were at', async () => {
  const own = new CompressThreads(1)
  const compressing = own.compressSegment(sharedMemory(FRAME_BYTES * 4), 19)
  const refused = expect(compressing).rejects.toMatchObject({ code: 'internal' })
  await own.close()
  await refused
})
