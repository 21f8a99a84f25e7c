import { createHash, randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { sha12 } from '../../src/box/key-names.js'
import { TailBranches, type TailPiece } from '../../src/keyholder/tail-branches.js'

const LENGTH = 60
const FORK = 25

const first = randomBytes(LENGTH)
/** Another server's: the same up to FORK. */
const second = Buffer.concat([first.subarray(0, FORK), Buffer.from(first.subarray(FORK).map((byte) => byte ^ 1))])

function piece(bytes: Buffer, from: number, to: number, second_: number): TailPiece {
  const mark = sha12(createHash('sha256').update(bytes.subarray(0, to)).digest())
  const key = `${from}-${to}-${mark}`
  return { key, from, to, mark, storedAt: new Date(second_ * 1000), raw: bytes.subarray(from, to) }
}

/** Tails of one session of a server's worker: from the beginning on, each where the last one ended. */
const session = fc
  .uniqueArray(fc.integer({ min: 1, max: LENGTH }), { minLength: 1, maxLength: 6 })
  .map((ends) => ends.sort((a, b) => a - b))

interface Posted {
  piece: TailPiece
  server: Buffer
}

const world = fc.array(fc.tuple(session, fc.boolean()), { minLength: 1, maxLength: 4 }).chain((sessions) => {
  const posted = sessions.flatMap(([ends, isFirst]): Posted[] =>
    ends.map((to, index) => {
      const server = isFirst ? first : second
      return { piece: piece(server, ends[index - 1] ?? 0, to, 0), server }
    }),
  )
  const times = fc.shuffledSubarray([...posted.keys()], { minLength: posted.length })
  return times.map((order) =>
    order.map((index, second_) => ({
      ...posted[index]!,
      piece: { ...posted[index]!.piece, storedAt: new Date(second_ * 1000) },
    })),
  )
})

function grow(posted: readonly Posted[]): TailBranches {
  const branches = new TailBranches()
  const sorted = posted
    .map((one) => one.piece)
    .sort((a, b) => a.from - b.from || a.storedAt.getTime() - b.storedAt.getTime())
  for (const one of sorted) branches.add(one)
  return branches
}

/** How far tails of one server hold its bytes; those of the other count where they are the same. */
function reachOf(server: Buffer, posted: readonly Posted[]): number {
  let reach = 0
  const holds = ({ from, to, raw }: TailPiece) => from <= reach && reach < to && raw.equals(server.subarray(from, to))
  for (let next; (next = posted.find((one) => holds(one.piece)));) reach = next.piece.to
  return reach
}

describe('tails of two servers', () => {
  test('are never mixed, and each is held as far as it goes', () => {
    fc.assert(
      fc.property(world, (posted) => {
        const branches = grow(posted).inOrder()
        for (const { bytes } of branches) {
          expect([first, second].some((server) => server.subarray(0, bytes.length).equals(bytes))).toBe(true)
        }
        for (const server of [first, second]) {
          const held = branches.map(({ bytes }) => bytes.findIndex((byte, at) => byte !== server[at]))
          const lengths = held.map((differs, index) => (differs < 0 ? branches[index]!.bytes.length : differs))
          expect(Math.max(...lengths)).toBeGreaterThanOrEqual(reachOf(server, posted))
        }
      }),
    )
  })

  test('part where their bytes differ, and the one that was stored first there goes before', () => {
    fc.assert(
      fc.property(world, (posted) => {
        const since = (server: Buffer) => {
          const holding = posted.filter(
            ({ piece: one }) => one.from <= FORK && FORK < one.to && one.raw.equals(server.subarray(one.from, one.to)),
          )
          return Math.min(...holding.map((one) => one.piece.storedAt.getTime()))
        }
        fc.pre([first, second].every((server) => reachOf(server, posted) > FORK))
        const [before] = grow(posted).inOrder()
        const expected = since(first) < since(second) ? first : second
        expect(expected.subarray(0, before!.bytes.length).equals(before!.bytes)).toBe(true)
        expect(before!.bytes.length).toBe(reachOf(expected, posted))
      }),
    )
  })

  test('are told apart by any tail that is not shared', () => {
    const pieces = [piece(first, 0, 20, 1), piece(first, 20, 40, 2), piece(second, 20, 40, 3), piece(second, 40, 60, 4)]
    const branches = grow(pieces.map((one) => ({ piece: one, server: first }))).inOrder()
    expect(branches.map((one) => pieces.map(({ mark }) => one.has(mark!)))).toEqual([
      [true, true, false, false],
      [true, false, true, true],
    ])
    expect(branches[0]!.partsAt(branches[1]!)).toBe(FORK)
    expect(branches.map((one) => one.pieceAt(FORK).key)).toEqual([pieces[1]!.key, pieces[2]!.key])
  })
})

describe('tails', () => {
  test('that go on from nothing are not taken', () => {
    const branches = grow([{ piece: piece(first, 0, 20, 1), server: first }])
    expect(branches.add(piece(second, 30, 40, 2))).toBe(false)
    expect(branches.add({ ...piece(first, 20, 30, 3), mark: '000000000000' })).toBe(false)
    expect(branches.inOrder().map(({ bytes }) => bytes.length)).toEqual([20])
  })

  test('of whoever posts forgeries cost little, and never what was stored first', () => {
    const forged = Array.from({ length: 50 }, (_, index) => {
      const bytes = Buffer.concat([first.subarray(0, 20), randomBytes(20)])
      return { piece: piece(bytes, 10, 40, 100 + index), server: bytes }
    })
    const honest = [piece(first, 0, 20, 1), piece(first, 20, 60, 2)].map((one) => ({ piece: one, server: first }))
    const branches = grow([...honest, ...forged]).inOrder()
    expect(branches[0]!.bytes.equals(first)).toBe(true)
    expect(branches.length).toBeLessThan(20)
  })

  test('are joined quickly when they are very many', () => {
    const bytes = randomBytes(1 << 20)
    const many = Array.from({ length: 5_000 }, (_, at) => piece(bytes, at * 50, at * 50 + 50, at))
    const hash = createHash('sha256')
    for (const one of many) one.mark = sha12(hash.update(one.raw).copy().digest())
    const branches = new TailBranches()
    for (const one of many) branches.add(one)
    expect(branches.inOrder()[0]!.bytes.length).toBe(250_000)
  })
})
