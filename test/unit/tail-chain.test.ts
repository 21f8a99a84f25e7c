import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { chainOf, type TailPlace } from '../../src/keyholder/tail-chain.js'
import { addSegment, RunBuilder } from '../../src/keyholder/wal-chain.js'

const tail = (from: number, to: number, storedAt = 0): TailPlace => ({
  from: BigInt(from),
  to: BigInt(to),
  storedAt: new Date(storedAt),
})

const places = (chain: readonly TailPlace[]) => chain.map(({ from, to }) => `${from}-${to}`)

/** Any tails of 40 bytes, sorted as a listing is. */
const tails = fc
  .array(
    fc.tuple(fc.nat(39), fc.integer({ min: 1, max: 15 }), fc.nat(5)).map(([from, length, at]) => {
      return tail(from, Math.min(40, from + length), at)
    }),
    { maxLength: 30 },
  )
  .map((all) => all.sort((a, b) => Number(a.from - b.from) || Number(a.to - b.to)))

describe('the chain of tails', () => {
  test('leads to the first byte that no tail holds', () => {
    fc.assert(
      fc.property(tails, fc.nat(20), (all, start) => {
        let missing = start
        while (all.some(({ from, to }) => from <= missing && missing < to)) missing++
        expect(Number(chainOf(all, BigInt(start)).at(-1)?.to ?? start)).toBe(missing)
      }),
    )
  })

  test('has no gap, repeats no tail, and takes of those that lead on one that was stored first', () => {
    fc.assert(
      fc.property(tails, (all) => {
        let reached = 0n
        for (const one of chainOf(all, 0n)) {
          const leading = all.filter(({ from, to }) => from <= reached && reached < to)
          expect(leading).toContain(one)
          expect(one.storedAt.getTime()).toBe(Math.min(...leading.map(({ storedAt }) => storedAt.getTime())))
          reached = one.to
        }
      }),
    )
  })

  test('follows one session and goes over to the next where it ends', () => {
    const first = [tail(0, 10, 1), tail(10, 20, 2), tail(20, 30, 3)]
    const second = [tail(0, 35, 4), tail(35, 50, 5)]
    const all = [first[0]!, second[0]!, first[1]!, first[2]!, second[1]!]
    expect(places(chainOf(all, 0n))).toEqual(['0-10', '10-20', '20-30', '0-35', '35-50'])
  })

  test('is empty when the beginning is missing', () => {
    expect(chainOf([tail(1, 10)], 0n)).toEqual([])
    expect(chainOf([], 0n)).toEqual([])
  })

  test('is found quickly among very many', () => {
    const many = Array.from({ length: 100_000 }, (_, at) => tail(at, at + 1))
    expect(chainOf(many, 0n)).toHaveLength(100_000)
  })
})

test('a segment that is added to runs is as good as one that was listed', () => {
  const starts = fc.uniqueArray(fc.nat(30), { minLength: 1 })
  const runsOf = (numbers: readonly number[]) => {
    const builder = new RunBuilder(16)
    for (const one of [...numbers].sort((a, b) => a - b)) builder.add(BigInt(one) * 16n)
    return builder.runs
  }
  fc.assert(
    fc.property(starts, fc.nat(), (all, choice) => {
      const added = all[choice % all.length]!
      const runs = runsOf(all.filter((one) => one !== added))
      addSegment(runs, BigInt(added) * 16n, 16)
      expect(runs).toEqual(runsOf(all))
    }),
  )
})
