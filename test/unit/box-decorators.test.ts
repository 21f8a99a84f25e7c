import { describe, expect, test } from 'vitest'
import type { Box, Receipt } from '../../src/box/box.js'
import { createHttpBox } from '../../src/box/http-box.js'
import { createPart } from '../../src/box/part.js'
import { refreshing } from '../../src/box/refreshing.js'
import { retrying } from '../../src/box/retrying.js'
import { PostboxError, type ErrorCode } from '../../src/errors.js'

const part = createPart('db1/1/x', [Buffer.from('x')], 'text/plain')
const receipt: Receipt = { key: part.key, bytes: 1, etag: 'e', versionId: null }
const never = new AbortController().signal
const error = (code: ErrorCode): PostboxError => new PostboxError(code, code, 'A hint.')
const quick = { retries: 3, minDelayMs: 1, maxDelayMs: 4 }

/** A box that fails in this order and then stores. */
function failing(...failures: unknown[]): Box & { posts: number } {
  return {
    posts: 0,
    post() {
      this.posts++
      return failures.length > 0 ? Promise.reject(failures.shift() as Error) : Promise.resolve(receipt)
    },
  }
}

describe('a retrying box', () => {
  test('posts again until it is stored', async () => {
    const box = failing(error('box_unavailable'), error('box_unavailable'), error('box_damaged'))
    await expect(retrying(box, quick).post(part, never)).resolves.toBe(receipt)
    expect(box.posts).toBe(4)
  })

  test('gives up with the last error after so many tries', async () => {
    const box = failing(...Array.from({ length: 9 }, () => error('box_unavailable')))
    await expect(retrying(box, quick).post(part, never)).rejects.toMatchObject({ code: 'box_unavailable' })
    expect(box.posts).toBe(4)
  })

  test.each<ErrorCode>(['box_refused', 'grant_expired', 'part_too_large', 'box_missing', 'clock_skew'])(
    'does not repeat %s',
    async (code) => {
      const box = failing(error(code))
      await expect(retrying(box, quick).post(part, never)).rejects.toMatchObject({ code })
      expect(box.posts).toBe(1)
    },
  )

  test('does not repeat a defect of its own', async () => {
    const box = failing(new TypeError('x is undefined'))
    await expect(retrying(box, quick).post(part, never)).rejects.toThrow('x is undefined')
    expect(box.posts).toBe(1)
  })

  test('repeats damage once and a wrong answer twice', async () => {
    for (const [code, posts] of [
      ['box_damaged', 2],
      ['box_answer_wrong', 3],
    ] as const) {
      const box = failing(...Array.from({ length: 9 }, () => error(code)))
      await expect(retrying(box, quick).post(part, never)).rejects.toMatchObject({ code })
      expect(box.posts).toBe(posts)
    }
  })
})

test('a box without a grant rejects, and may have one at the next try', async () => {
  const http = createHttpBox({
    grant: () => {
      throw error('grant_missing')
    },
    connections: 1,
  })
  await expect(http.post(part, never)).rejects.toMatchObject({ code: 'grant_missing', retryable: true })
  await http.close()
})

describe('a refreshing box', () => {
  test.each<ErrorCode>(['grant_expired', 'grant_refused', 'clock_skew'])(
    'gets a newer grant after %s and posts once more',
    async (code) => {
      const box = failing(error(code))
      let refreshes = 0
      await expect(refreshing(box, () => Promise.resolve(++refreshes > 0)).post(part, never)).resolves.toBe(receipt)
      expect([box.posts, refreshes]).toEqual([2, 1])
    },
  )

  test('posts no third time', async () => {
    const box = failing(error('grant_expired'), error('grant_expired'))
    await expect(refreshing(box, () => Promise.resolve(true)).post(part, never)).rejects.toMatchObject({
      code: 'grant_expired',
    })
    expect(box.posts).toBe(2)
  })

  test('asks for no grant after another error', async () => {
    const box = failing(error('box_refused'))
    let refreshes = 0
    await expect(refreshing(box, () => Promise.resolve(++refreshes > 0)).post(part, never)).rejects.toMatchObject({
      code: 'box_refused',
    })
    expect(refreshes).toBe(0)
  })

  test('asks once for parts that fail together, and again for one that fails later', async () => {
    const box = failing(...Array.from({ length: 5 }, () => error('grant_expired')))
    let refreshes = 0
    const healed = refreshing(box, () => new Promise((resolve) => setImmediate(resolve, ++refreshes > 0)))
    await Promise.all(Array.from({ length: 5 }, () => healed.post(part, never)))
    expect([box.posts, refreshes]).toEqual([10, 1])
  })

  test('lets the next part ask when the one that asked first was aborted', async () => {
    const box = failing(error('grant_expired'), error('grant_expired'))
    const stop = new AbortController()
    let refreshes = 0
    const refresh = (signal: AbortSignal): Promise<boolean> =>
      ++refreshes > 1
        ? Promise.resolve(true)
        : new Promise((_, reject) => {
            signal.addEventListener('abort', () => {
              reject(signal.reason as Error)
            })
          })
    const healed = refreshing(box, refresh)
    const aborted = healed.post(part, stop.signal)
    aborted.catch(() => undefined)
    const other = healed.post(part, never)
    setImmediate(() => {
      stop.abort(new Error('stopped'))
    })
    await expect(aborted).rejects.toThrow('stopped')
    await expect(other).resolves.toBe(receipt)
    expect(refreshes).toBe(2)
  })
})
