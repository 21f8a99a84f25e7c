import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Archive, StoredObject } from '../../src/keyholder/archive.js'
import { segmentKey, sha12, tailKey } from '../../src/box/key-names.js'
import {
  findLastPage,
  readPage,
  segmentFolder,
  tailFolder,
  type WalFolder,
} from '../../src/keyholder/fleet/wal-folder.js'

const home = { server: 'db1', systemIdentifier: '7000000000000000001' }
const MB = 1024 * 1024
const mark = Buffer.alloc(32, 7)

/** A listing of these keys, and how many pages of it were asked for. */
function listing(keys: string[]): { archive: Archive; pages: () => number } {
  let pages = 0
  const sorted = [...keys].sort()
  const object = (key: string): StoredObject => {
    return { key, bytes: 1, storedAt: new Date(0), versionId: null, laterVersions: 0, storedOver: false }
  }
  async function* list(prefix: string, after = ''): AsyncGenerator<StoredObject> {
    await Promise.resolve()
    pages += 1
    const from = sorted.findIndex((key) => key > after && key.startsWith(prefix))
    for (const key of from < 0 ? [] : sorted.slice(from)) yield object(key)
  }
  return { archive: { list } as unknown as Archive, pages: () => pages }
}

async function lastOf(folder: WalFolder, keys: string[]): Promise<{ key: string | undefined; pages: number }> {
  const { archive, pages } = listing(keys)
  const first = await readPage(archive, folder, null, 1000)
  const page = await findLastPage(archive, folder, first)
  return { key: page.found.at(-1)?.object.key, pages: pages() }
}

/** Stretches of segments with gaps between them: how long each is, and how far the next is away. */
const stretches = fc.array(fc.tuple(fc.integer({ min: 1, max: 3000 }), fc.integer({ min: 1, max: 100_000 })), {
  minLength: 1,
  maxLength: 4,
})

test('the last segment is found wherever gaps are, in few requests', async () => {
  const folder = segmentFolder(home, 1, MB)
  await fc.assert(
    fc.asyncProperty(stretches, async (runs) => {
      const keys: string[] = []
      let at = 1
      for (const [length, gap] of runs) {
        for (let index = 0; index < length; index++) {
          keys.push(segmentKey(home, { timeline: 1, start: BigInt(at + index) * BigInt(MB) }, MB, mark, sha12(mark)))
        }
        at += length + gap
      }
      const { key, pages } = await lastOf(folder, keys)
      expect(key).toBe(keys.at(-1))
      expect(pages).toBeLessThan(40)
    }),
    { numRuns: 60 },
  )
})

test('the last tail is found, among many of one segment and over several', async () => {
  const folder = tailFolder(home, 1, MB)
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 6000 }), fc.integer({ min: 1, max: 100 }), async (count, words) => {
      const bytes = BigInt(8 * words)
      const keys = Array.from({ length: count }, (_, index) => {
        const range = { from: BigInt(MB) + BigInt(index) * bytes, to: BigInt(MB) + BigInt(index + 1) * bytes }
        const start = range.from - (range.from % BigInt(MB))
        return tailKey(home, { timeline: 1, start }, MB, range, mark)
      })
      const { key, pages } = await lastOf(folder, keys)
      expect(key).toBe(keys.at(-1))
      expect(pages).toBeLessThan(40)
    }),
    { numRuns: 40 },
  )
})
