import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { previousOfFirst, type Previous } from '../../src/box/key-names.js'
import type { StoredSegment } from '../../src/keyholder/stored-wal.js'
import { cutReach, followWay, RunBuilder, type Leg } from '../../src/keyholder/wal-chain.js'
import { ForkFinder } from '../../src/keyholder/wal-forks.js'
import { choosePath, leadsThrough, type Path, type PathQuestion } from '../../src/keyholder/wal-path.js'
import { segmentName } from '../../src/wal/segment.js'

const MB = 1024 * 1024
const at = (number: number): bigint => BigInt(number) * BigInt(MB)

/** A segment of one timeline, stored with one content. `mark`: 12 characters are made of it. */
interface Put {
  timeline?: number
  number: number
  mark: string
  previous: Previous
  storedAt?: number
}

const markOf = (text: string): string => text.padEnd(12, '0')

/** What a listing of these segments tells, along a way. */
function archiveOf(puts: readonly Put[], way: readonly Leg[], more: Partial<PathQuestion> = {}) {
  const forked: PathQuestion['forked'] = new Map(
    way.map(({ timeline }) => {
      const forks = new ForkFinder(MB)
      for (const [number, contents] of listed(puts, timeline)) forks.add(at(number), contents)
      return [timeline, forks.forked]
    }),
  )
  const runs = new Map(
    way.map(({ timeline }) => {
      const builder = new RunBuilder(MB)
      for (const [number] of listed(puts, timeline)) builder.add(at(number))
      return [timeline, builder.runs]
    }),
  )
  const question: PathQuestion = {
    way,
    segmentBytes: MB,
    forked,
    starts: new Map(),
    waypoints: [],
    stopAt: null,
    joined: new Map(),
    markOf: ({ timeline, start }) => {
      const contents = listed(puts, timeline).get(Number(start / BigInt(MB)))
      return Promise.resolve(contents?.length === 1 ? contents[0]!.mark : null)
    },
    ...more,
  }
  const reached = (path: Path): number => Number(cutReach(way, followWay(way, runs), path.cut).end / BigInt(MB))
  return { question, reached }
}

function listed(puts: readonly Put[], timeline: number): Map<number, StoredSegment[]> {
  const found = new Map<number, StoredSegment[]>()
  const own = puts.filter((one) => (one.timeline ?? 1) === timeline)
  const sorted = [...own].sort((a, b) => a.number - b.number || (a.storedAt ?? 0) - (b.storedAt ?? 0))
  for (const { number, mark, previous, storedAt = 0 } of sorted) {
    const name = segmentName({ timeline, start: at(number) }, MB)
    const object = { key: `${name}-${mark}`, bytes: 1, storedAt: new Date(storedAt), versionId: null }
    const segment = { name, mark: markOf(mark), previous, object: { ...object, laterVersions: 0, storedOver: false } }
    found.set(number, [...(found.get(number) ?? []), segment])
  }
  return found
}

/** Segments of one server from one number to another, each after the one before. `before`: mark of that in front. */
function chain(server: string, from: number, to: number, before: Previous, timeline = 1): Put[] {
  const numbers = Array.from({ length: to - from }, (_, index) => from + index)
  return numbers.map((number) => ({
    timeline,
    number,
    mark: `${server}${number}`,
    previous: number === from ? before : markOf(`${server}${number - 1}`),
  }))
}

const ONLY: Leg[] = [{ timeline: 1, from: at(1), to: null }]
const chosen = (path: Path): string[] => [...path.chosen.values()].map(({ mark }) => mark.replace(/0+$/, ''))

describe('the path through what two servers stored', () => {
  const world = fc
    .record({
      fork: fc.integer({ min: 2, max: 5 }),
      a: fc.integer({ min: 1, max: 6 }),
      b: fc.integer({ min: 1, max: 6 }),
    })
    .chain(({ fork, a, b }) => {
      const common = chain('c', 1, fork, null)
      const before = markOf(`c${fork - 1}`)
      const puts = [...common, ...chain('a', fork, fork + a, before), ...chain('b', fork, fork + b, before)]
      const order = fc.shuffledSubarray([...puts.keys()], { minLength: puts.length })
      return order.map((times) => ({
        fork,
        ends: { a: fork + a, b: fork + b },
        puts: puts.map((one, index) => ({ ...one, storedAt: times.indexOf(index) })),
      }))
    })

  test('is that of one of them to its end: of the one that was stored first where they part', async () => {
    await fc.assert(
      fc.asyncProperty(world, async ({ fork, ends, puts }) => {
        const { question, reached } = archiveOf(puts, ONLY)
        const path = await choosePath(question)
        const since = (server: string) => puts.find(({ mark }) => mark === `${server}${fork}`)!.storedAt
        const first = since('a') < since('b') ? 'a' : 'b'
        expect(reached(path)).toBe(ends[first])
        expect(
          new Set(
            chosen(path)
              .map((mark) => mark[0])
              .filter((server) => server !== 'c'),
          ),
        ).toEqual(new Set(first))
        expect(path.notes[0]).toMatch(/is stored in two ways from 0\/\w+ on/)
      }),
    )
  })

  test('is that of the one that wrote a segment which was asked for', async () => {
    await fc.assert(
      fc.asyncProperty(world, fc.nat(), async ({ fork, ends, puts }, choice) => {
        const wanted = puts[choice % puts.length]!
        const waypoint = { segment: { timeline: 1, start: at(wanted.number) }, mark: markOf(wanted.mark) }
        const { question, reached } = archiveOf(puts, ONLY, { waypoints: [waypoint] })
        const path = await choosePath(question)
        expect(await leadsThrough(waypoint, path, question)).toBe(true)
        if (wanted.number < fork) return
        expect(reached(path)).toBe(ends[wanted.mark[0] as 'a' | 'b'])
      }),
    )
  })
})

describe('the path', () => {
  test('asks nothing of segments that follow each other', async () => {
    const { question, reached } = archiveOf(chain('a', 1, 50, null), ONLY)
    expect(question.forked.get(1)!.size).toBe(1)
    const path = await choosePath(question)
    expect([path.cut, path.notes, reached(path)]).toEqual([null, [], 50])
  })

  test('ends where the only segment of a name is of another server, and says so', async () => {
    const puts = [...chain('a', 1, 4, null), ...chain('b', 4, 6, markOf('b3'))]
    const { question, reached } = archiveOf(puts, ONLY)
    const path = await choosePath(question)
    expect(reached(path)).toBe(4)
    expect(path.notes).toEqual([expect.stringMatching(/^0{7}1.*4-b4 does not follow the WAL in front of it/)])
  })

  test('goes on to a segment that does not say what it follows, unless that is in doubt', async () => {
    const puts = [...chain('a', 1, 4, null), ...chain('a', 4, 6, null)]
    const sure = archiveOf(puts, ONLY)
    expect(sure.reached(await choosePath(sure.question))).toBe(6)
    const doubtful = archiveOf([...puts, { number: 3, mark: 'b3', previous: markOf('a2') }], ONLY)
    expect(doubtful.reached(await choosePath(doubtful.question))).toBe(4)
  })

  test('passes over a segment that somebody put in later, whatever that says it follows', async () => {
    const forged = { number: 3, mark: 'f3', storedAt: 9 }
    for (const previous of [null, markOf('x'), markOf('a2')]) {
      const { question, reached } = archiveOf([...chain('a', 1, 6, null), { ...forged, previous }], ONLY)
      const path = await choosePath(question)
      expect([reached(path), chosen(path)]).toEqual([6, ['a1', 'a3', 'a4']])
    }
  })

  test('takes a backup of the second server by that one, from its first segment on', async () => {
    const puts = [...chain('a', 1, 9, null), ...chain('b', 3, 7, markOf('a2'))]
    const way: Leg[] = [{ timeline: 1, from: at(4), to: null }]
    const waypoint = { segment: { timeline: 1, start: at(5) }, mark: markOf('b5') }
    const { question, reached } = archiveOf(puts, way, { waypoints: [waypoint] })
    const path = await choosePath(question)
    expect([reached(path), chosen(path)]).toEqual([7, ['b4', 'b5', 'b6']])
  })

  test('leads to a later timeline by the server that was promoted, though the other was stored first', async () => {
    const way: Leg[] = [
      { timeline: 1, from: at(1), to: at(5) },
      { timeline: 2, from: at(5), to: null },
    ]
    const history = markOf('h')
    const starts = new Map([[2, { historyMark: history, start: at(5), parent: 1 }]])
    const puts = [
      ...chain('a', 1, 7, null),
      ...chain('b', 3, 5, markOf('a2')).map((one) => ({ ...one, storedAt: 9 })),
      ...chain('n', 5, 8, previousOfFirst(markOf('b4'), history), 2),
    ]
    const { question, reached } = archiveOf(puts, way, { starts })
    const path = await choosePath(question)
    expect([reached(path), chosen(path)]).toEqual([8, ['a1', 'b3', 'b4', 'n5']])
  })

  test('enters a timeline by the segment that says the same history, where two servers were promoted to it', async () => {
    const way: Leg[] = [
      { timeline: 1, from: at(1), to: at(5) },
      { timeline: 2, from: at(5), to: null },
    ]
    const puts = [
      ...chain('a', 1, 5, null),
      ...chain('n', 5, 7, previousOfFirst(markOf('a4'), markOf('h1')), 2),
      ...chain('m', 5, 9, previousOfFirst(markOf('a4'), markOf('h2')), 2).map((one) => ({ ...one, storedAt: 9 })),
    ]
    for (const [history, end] of [
      ['h1', 7],
      ['h2', 9],
    ] as const) {
      const starts = new Map([[2, { historyMark: markOf(history), start: at(5), parent: 1 }]])
      const { question, reached } = archiveOf(puts, way, { starts })
      expect(reached(await choosePath(question))).toBe(end)
    }
  })
})
