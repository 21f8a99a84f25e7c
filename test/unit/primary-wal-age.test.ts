import { expect, test } from 'vitest'
import { PrimaryWalAge } from '../../src/worker/primary-wal-age.js'

const end = (at: number, lsn: bigint, timeline = 1) => ({ at, lsn, timeline })
const stored = (lsn: bigint, timeline = 1) => ({ lsn, timeline })

test('WAL that is all stored is as young as the look at it', () => {
  const age = new PrimaryWalAge()
  expect(age.unsafeSince(end(10, 100n), stored(100n))).toBe(10)
  expect(age.unsafeSince(end(11, 100n), stored(200n))).toBe(11)
})

test('WAL is as old as the last look at which there was none of it', () => {
  const age = new PrimaryWalAge()
  age.unsafeSince(end(10, 100n), stored(100n))
  age.unsafeSince(end(20, 100n), stored(100n))
  expect(age.unsafeSince(end(21, 150n), stored(100n))).toBe(20)
  expect(age.unsafeSince(end(22, 200n), stored(100n))).toBe(20)
  // What came up to 150 is stored, and what came after it was written after 21.
  expect(age.unsafeSince(end(23, 250n), stored(150n))).toBe(21)
  expect(age.unsafeSince(end(24, 250n), stored(199n))).toBe(21)
  expect(age.unsafeSince(end(25, 250n), stored(200n))).toBe(22)
  expect(age.unsafeSince(end(26, 250n), stored(250n))).toBe(26)
})

test('WAL that was there at the first look is at least as old as that look, however long nothing is written', () => {
  const age = new PrimaryWalAge()
  for (const at of [10, 20, 30]) expect(age.unsafeSince(end(at, 500n), stored(100n))).toBe(10)
  expect(age.unsafeSince(end(40, 600n), stored(100n))).toBe(10)
  expect(age.unsafeSince(end(41, 600n), stored(500n))).toBe(30)
})

test('what is stored of one timeline says nothing of the next', () => {
  const age = new PrimaryWalAge()
  age.unsafeSince(end(10, 100n), stored(150n))
  expect(age.unsafeSince(end(20, 120n, 2), stored(150n))).toBe(10)
  expect(age.unsafeSince(end(30, 130n, 2), stored(125n, 2))).toBe(20)
  expect(age.unsafeSince(end(31, 130n, 2), stored(130n, 2))).toBe(31)
})

test('hours of looks take bounded room, and what is old stays so', () => {
  const age = new PrimaryWalAge()
  age.unsafeSince(end(0, 1n), stored(1n))
  for (let at = 1; at <= 20_000; at++) expect(age.unsafeSince(end(at, BigInt(at + 1)), stored(1n))).toBe(0)
  const since = age.unsafeSince(end(20_001, 20_002n), stored(10_000n))
  expect(since).toBeLessThanOrEqual(9_999)
  expect(since).toBeGreaterThan(9_900)
})
