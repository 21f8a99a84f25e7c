import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { fromServerTime, toServerTime, WalAge } from '../../src/source/wal-age.js'

const SECOND = 1_000_000n

describe('the age of WAL that waits', () => {
  test('is that of the first message behind what is stored, for a reader who waited', () => {
    const age = new WalAge()
    age.came(100n, 10n * SECOND, false)
    age.came(200n, 50n * SECOND, true)
    age.came(300n, 90n * SECOND, true)
    expect([99n, 100n, 199n, 200n, 300n].map((stored) => age.since(stored))).toEqual([
      10n * SECOND,
      50n * SECOND,
      50n * SECOND,
      90n * SECOND,
      null,
    ])
  })

  test('counts from the message before where WAL lay ready', () => {
    const age = new WalAge()
    age.came(100n, 10n * SECOND, false)
    age.came(200n, 50n * SECOND, true)
    age.came(900n, 90n * SECOND, false)
    expect(age.since(200n)).toBe(50n * SECOND)
  })

  test('counts from the last word of a server at rest when the connection broke after it', () => {
    const age = new WalAge()
    age.came(100n, 10n * SECOND, false)
    age.heard(70n * SECOND, true)
    age.came(200n, 90n * SECOND, false)
    expect(age.since(100n)).toBe(70n * SECOND)
  })

  test('of what was there before is as old as others say, and younger only by commits that are stored', () => {
    const age = new WalAge()
    const known = new Date('2026-01-02T03:04:05Z')
    const commit = new Date('2026-01-02T03:04:59Z')
    age.startsWith(known)
    age.came(900n, toServerTime(new Date('2026-01-02T06:00:00Z')), false)
    expect(age.since(100n)).toBe(toServerTime(known))
    age.storedSegment(200n, null)
    expect(age.since(200n)).toBe(toServerTime(known))
    age.storedSegment(300n, commit)
    expect(fromServerTime(age.since(300n)!)).toEqual(commit)
    age.storedSegment(400n, known)
    expect(fromServerTime(age.since(400n)!)).toEqual(commit)
    expect(age.since(900n)).toBeNull()
  })

  test('begins anew on another timeline, whose WAL may lie where the old one had some that is stored', () => {
    const age = new WalAge()
    age.follow(1)
    age.came(100n, 10n * SECOND, false)
    age.came(900n, 20n * SECOND, true)
    age.follow(1)
    expect(age.since(100n)).toBe(20n * SECOND)
    age.follow(2)
    age.came(500n, 30n * SECOND, false)
    age.came(600n, 40n * SECOND, true)
    expect([age.since(400n), age.since(500n), age.since(600n)]).toEqual([30n * SECOND, 40n * SECOND, null])
  })

  test('of a timeline that was left is that of a backlog', () => {
    const age = new WalAge()
    age.cameOld(100n, 10n * SECOND)
    age.came(500n, 20n * SECOND, true)
    expect(age.since(100n)).toBe(10n * SECOND)
    age.came(600n, 30n * SECOND, true)
    expect(age.since(500n)).toBe(30n * SECOND)
  })

  test('the server has a time once it has said one', () => {
    const age = new WalAge()
    expect(age.now()).toBeNull()
    age.heard(SECOND, false)
    expect(age.now()).toBeGreaterThanOrEqual(SECOND)
  })

  test('is never less than the truth, and more by no longer than nothing was heard, however much waits', () => {
    // Each step: so long after the last, so many bytes are written, and the reader is told of them or not.
    const step = fc.record({ micros: fc.bigInt(0n, 50_000n), bytes: fc.bigInt(0n, 3n), told: fc.boolean() })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.nat(200), (steps, at) => {
        const age = new WalAge()
        let [now, end, heardAt] = [SECOND, 1n, SECOND]
        age.came(end, now, false)
        /** of each byte: when it was written, and the last word before that */
        const truth: { written: bigint; heard: bigint }[] = [{ written: now, heard: now }]
        let behind = false
        for (const { micros, bytes, told } of steps) {
          now += micros
          for (let n = 0n; n < bytes; n++) truth.push({ written: now, heard: heardAt })
          end += bytes
          behind ||= bytes > 0n && !told
          if (!told) continue
          if (bytes > 0n || behind) age.came(end, now, !behind)
          else age.heard(now, true)
          behind = false
          heardAt = now
        }
        const stored = BigInt(at % Number(end))
        const { written, heard } = truth[Number(stored)]!
        const since = age.since(stored)
        // What the reader was not told of he cannot know.
        if (since === null) {
          expect(behind).toBe(true)
        } else {
          expect(since).toBeLessThanOrEqual(written)
          if (stored > 0n) expect(since).toBeGreaterThanOrEqual(heard - 10_000n)
        }
      }),
      { numRuns: 500 },
    )
  })

  test('stays no less than the truth when far more arrives than is remembered apart', () => {
    const age = new WalAge()
    age.came(1n, 0n, true)
    for (let n = 1n; n <= 10_000n; n++) age.came(1n + n, n * SECOND, true)
    for (const n of [1n, 500n, 5000n, 9999n]) {
      const since = age.since(n)!
      expect(since).toBeLessThanOrEqual(n * SECOND)
      expect(since).toBeGreaterThanOrEqual((n - 20n) * SECOND)
    }
    age.forget(9999n)
    age.came(20_000n, 10_001n * SECOND, true)
    age.came(30_000n, 10_002n * SECOND, true)
    expect(age.since(20_000n)).toBe(10_002n * SECOND)
  })
})
