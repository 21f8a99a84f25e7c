import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  findWay,
  followWay,
  missingSegments,
  RunBuilder,
  segmentsOfWay,
  segmentsOfWayBackwards,
  type WalRun,
} from '../../src/keyholder/wal-chain.js'
import { segmentName } from '../../src/wal/segment.js'
import type { TimelineSwitch } from '../../src/wal/timeline-history.js'

const MB = 1024 * 1024
const SIZE = BigInt(MB)

function runsOf(starts: Iterable<number>): WalRun[] {
  const builder = new RunBuilder(MB)
  for (const start of starts) builder.add(BigInt(start) * SIZE)
  return builder.runs
}

/** A history of timelines 1, 2, … with switches at ascending positions, and which segments are stored of each. */
const worlds = fc
  .record({
    start: fc.integer({ min: 0, max: 5 * MB }),
    switches: fc.array(fc.integer({ min: 0, max: 12 * MB }), { maxLength: 4 }),
    stored: fc.array(fc.uniqueArray(fc.integer({ min: 0, max: 20 }), { maxLength: 20 }), {
      minLength: 5,
      maxLength: 5,
    }),
  })
  .map(({ start, switches, stored }) => {
    const positions = switches.map((one) => start + one).sort((a, b) => a - b)
    const history = positions.map((at, index): TimelineSwitch => ({ timeline: index + 1, switchLsn: BigInt(at) }))
    return { start, history, target: history.length + 1, stored: stored.map((one) => one.sort((a, b) => a - b)) }
  })

/** Postgres's rule, segment by segment: the newest timeline that had begun by the end of a segment owns it. */
function owner(segment: number, history: readonly TimelineSwitch[]): number {
  let timeline = 1
  for (const one of history) if (Number(one.switchLsn / SIZE) <= segment) timeline = one.timeline + 1
  return timeline
}

describe('the way of recovery', () => {
  test('reaches as far as each segment is stored on the timeline that owns it', () => {
    fc.assert(
      fc.property(worlds, ({ start, history, target, stored }) => {
        const place = { timeline: 1, startLsn: BigInt(start), stopLsn: BigInt(start) }
        const way = findWay(place, target, history, MB)!
        const runs = new Map(stored.map((segments, index) => [index + 1, runsOf(segments)]))
        let segment = Math.floor(start / MB)
        while (stored[owner(segment, history) - 1]!.includes(segment)) segment++
        expect(followWay(way, runs).end).toBe(BigInt(segment) * SIZE)
      }),
    )
  })

  test('names exactly the segments that are not stored', () => {
    fc.assert(
      fc.property(worlds, fc.integer({ min: 1, max: 15 * MB }), ({ start, history, target, stored }, length) => {
        const place = { timeline: 1, startLsn: BigInt(start), stopLsn: BigInt(start) }
        const way = findWay(place, target, history, MB)!
        const runs = new Map(stored.map((segments, index) => [index + 1, runsOf(segments)]))
        const expected: string[] = []
        for (let segment = Math.floor(start / MB); segment * MB < start + length; segment++) {
          const timeline = owner(segment, history)
          if (stored[timeline - 1]!.includes(segment)) continue
          expected.push(segmentName({ timeline, start: BigInt(segment) * SIZE }, MB))
        }
        const named = missingSegments(way, runs, BigInt(start), BigInt(start + length), MB)
        expect(named).toEqual({ names: expected.slice(0, 5), count: expected.length })
      }),
    )
  })

  test('is the same backwards', () => {
    fc.assert(
      fc.property(worlds, fc.integer({ min: 1, max: 15 * MB }), ({ start, history, target }, length) => {
        const way = findWay({ timeline: 1, startLsn: BigInt(start), stopLsn: BigInt(start) }, target, history, MB)!
        const [from, to] = [BigInt(start), BigInt(start + length)]
        expect([...segmentsOfWayBackwards(way, from, to, MB)].reverse()).toEqual([...segmentsOfWay(way, from, to, MB)])
      }),
    )
  })

  test('begins on the backup timeline and not on its ancestors', () => {
    const history = [
      { timeline: 1, switchLsn: 3n * SIZE },
      { timeline: 2, switchLsn: 6n * SIZE + 5n },
    ]
    const way = findWay({ timeline: 2, startLsn: 4n * SIZE + 9n, stopLsn: 5n * SIZE }, 3, history, MB)
    expect(way).toEqual([
      { timeline: 2, from: 4n * SIZE, to: 6n * SIZE },
      { timeline: 3, from: 6n * SIZE, to: null },
    ])
  })

  test('does not exist from a backup that ended behind the switch', () => {
    const history = [{ timeline: 1, switchLsn: 3n * SIZE }]
    expect(findWay({ timeline: 1, startLsn: 2n * SIZE, stopLsn: 3n * SIZE + 1n }, 2, history, MB)).toBeNull()
    expect(findWay({ timeline: 1, startLsn: 2n * SIZE, stopLsn: 3n * SIZE }, 2, history, MB)).not.toBeNull()
  })

  test('does not exist to a timeline that came from elsewhere', () => {
    const history = [{ timeline: 2, switchLsn: 9n * SIZE }]
    expect(findWay({ timeline: 1, startLsn: 1n, stopLsn: 2n }, 3, history, MB)).toBeNull()
  })

  test('needs no segment behind a backup that stopped exactly at its border', () => {
    const way = findWay({ timeline: 1, startLsn: 2n * SIZE, stopLsn: 3n * SIZE }, 1, [], MB)!
    expect(missingSegments(way, new Map(), 2n * SIZE, 3n * SIZE, MB)).toEqual({
      names: ['000000010000000000000002'],
      count: 1,
    })
  })

  test('names timelines in hexadecimal', () => {
    const history = [9, 10, 15].map((timeline) => ({ timeline, switchLsn: BigInt(timeline) * SIZE }))
    const way = findWay({ timeline: 9, startLsn: 8n * SIZE, stopLsn: 8n * SIZE + 1n }, 16, history, MB)!
    const names = [...segmentsOfWay(way, 8n * SIZE, 16n * SIZE, MB)].map((one) => segmentName(one, MB).slice(0, 8))
    expect(new Set(names)).toEqual(new Set(['00000009', '0000000A', '0000000F', '00000010']))
  })
})

describe('runs of segments', () => {
  test('hold what was added and nothing else', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.integer({ min: 0, max: 40 })), (segments) => {
        const sorted = segments.sort((a, b) => a - b)
        const held = runsOf(sorted).flatMap(({ from, to }) => {
          const first = Number(from / SIZE)
          return Array.from({ length: Number((to - from) / SIZE) }, (_, index) => first + index)
        })
        expect(held).toEqual(sorted)
      }),
    )
  })

  test('grow with gaps and not with segments', () => {
    expect(runsOf(Array.from({ length: 10_000 }, (_, index) => index)).length).toBe(1)
  })
})
