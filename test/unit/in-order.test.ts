import fc from 'fast-check'
import { describe, expect, test, vi } from 'vitest'
import { inOrder } from '../../src/transform/in-order.js'

async function* generate(items: readonly number[]): AsyncGenerator<number> {
  for (const item of items) yield await Promise.resolve(item)
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const item of items) all.push(item)
  return all
}

describe('work in order', () => {
  test('yields results in the order of the items, with at most as many at once as allowed', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 0, max: 4 })),
        fc.integer({ min: 1, max: 5 }),
        async (ticks, atOnce) => {
          let running = 0
          let most = 0
          const results = inOrder(generate(ticks), atOnce, async (tick) => {
            most = Math.max(most, ++running)
            for (let turn = 0; turn < tick; turn++) await Promise.resolve()
            running--
            return tick
          })
          expect(await collect(results)).toEqual(ticks)
          expect(most).toBeLessThanOrEqual(atOnce)
        },
      ),
      { numRuns: 50 },
    )
  })

  test('yields a finished result while the source is silent', async () => {
    const silent = Promise.withResolvers<number>()
    async function* source(): AsyncGenerator<number> {
      yield 1
      yield await silent.promise
    }
    const results = inOrder(source(), 4, (item) => Promise.resolve(item * 10))
    expect(await results.next()).toEqual({ done: false, value: 10 })
    silent.resolve(2)
    expect(await results.next()).toEqual({ done: false, value: 20 })
    expect(await results.next()).toEqual({ done: true, value: undefined })
  })

  test('throws what the work throws and what the source throws', async () => {
    const failing = inOrder(generate([1, 2]), 2, (item) =>
      item === 2 ? Promise.reject(new Error('codec')) : Promise.resolve(item),
    )
    await expect(collect(failing)).rejects.toThrow('codec')
    async function* broken(): AsyncGenerator<number> {
      yield await Promise.resolve(1)
      throw new Error('socket')
    }
    const results = inOrder(broken(), 2, (item) => Promise.resolve(item))
    expect(await results.next()).toEqual({ done: false, value: 1 })
    await expect(results.next()).rejects.toThrow('socket')
  })

  describe('ends a source that it does not read to its end', () => {
    /** Gives items without end, and says when it is ended. */
    class Source {
      ended = false
      given = 0

      async *items(): AsyncGenerator<number> {
        try {
          for (;;) yield await Promise.resolve(++this.given)
        } finally {
          this.ended = true
        }
      }
    }

    test('when the work on the first fails while as many run as may', async () => {
      const source = new Source()
      const works = new Map<number, PromiseWithResolvers<number>>()
      const results = inOrder(source.items(), 2, (item) => {
        const work = Promise.withResolvers<number>()
        works.set(item, work)
        return work.promise
      })
      const first = results.next()
      await vi.waitUntil(() => works.size === 2)
      works.get(1)!.reject(new Error('box'))
      await expect(first).rejects.toThrow('box')
      expect(source).toMatchObject({ ended: true, given: 2 })
    })

    test('when whoever takes the results fails', async () => {
      const source = new Source()
      const results = inOrder(source.items(), 2, (item) => (item === 1 ? Promise.resolve(1) : new Promise(() => {})))
      const taking = (async () => {
        for await (const result of results) if (result === 1) throw new Error('database')
      })()
      await expect(taking).rejects.toThrow('database')
      expect(source.ended).toBe(true)
    })

    test('and does not wait for one that says nothing', async () => {
      async function* source(): AsyncGenerator<number> {
        yield await Promise.resolve(1)
        await new Promise(() => {})
      }
      await expect(collect(inOrder(source(), 2, () => Promise.reject(new Error('box'))))).rejects.toThrow('box')
    })
  })
})
