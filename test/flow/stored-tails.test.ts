import { randomBytes } from 'node:crypto'
import type { S3Client } from '@aws-sdk/client-s3'
import fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { openArchive } from '../../src/keyholder/archive.js'
import { readTails, type TailsWanted } from '../../src/keyholder/stored-tails.js'
import { segmentName } from '../../src/wal/segment.js'
import { makeSegment } from '../sandbox/make-wal.js'
import { startS3, type LocalS3 } from '../sandbox/s3/server.js'
import { sdkClient } from '../sandbox/s3/test-grant.js'
import { SyntheticArchive } from '../sandbox/synthetic-archive.js'

const MB = 1024 * 1024
const START = 0x700000n
const NAME = '000000010000000000000007'

let s3: LocalS3
let client: S3Client
let made: SyntheticArchive
let segment: Buffer
let warnings: string[]
let count = 0

beforeAll(async () => {
  s3 = await startS3({ buckets: [{ name: 'b', versioned: true }] })
  client = sdkClient(s3)
})

afterAll(async () => {
  client.destroy()
  await s3.close()
})

beforeEach(() => begin())

function begin(): void {
  made = new SyntheticArchive(s3.bucket('b'), `db${++count}`)
  segment = randomSegment(START)
  warnings = []
}

function randomSegment(lsn: bigint, segmentBytes = MB): Buffer {
  const { systemIdentifier } = made.home
  const bytes = makeSegment({ timeline: 1, lsn, segmentBytes, systemIdentifier })
  randomBytes(100_000).copy(bytes, 40)
  return bytes
}

const at = (second: number) => ({ storedAt: new Date(Date.UTC(2026, 10, 22, 10, 0, second)) })

const put = (from: number, to: number, second = 0, bytes = segment): string =>
  made.tail(1, START, bytes.subarray(0, to), from, at(second))

async function read(name = NAME, wanted: Partial<TailsWanted> = {}) {
  const warn = (text: string) => void warnings.push(text)
  return (await readTails(openArchive(client, 'b'), made.home, name, { warn, ...wanted })).partial
}

/** How far the segment is joined; throws when a byte of it is wrong. */
async function joined(): Promise<number | null> {
  const partial = await read()
  if (!partial) return null
  const { length } = partial.stored
  expect(partial.stored.equals(segment.subarray(0, length))).toBe(true)
  expect(partial.padded.equals(Buffer.concat([segment.subarray(0, length), Buffer.alloc(MB - length)]))).toBe(true)
  expect(partial.end).toBe(START + BigInt(length))
  return length
}

function flipped(bytes: Buffer, offset: number): Buffer {
  const copy = Buffer.from(bytes)
  copy[offset]! ^= 1
  return copy
}

describe('a segment of tails', () => {
  test('is what was posted, whatever was cut, damaged, lost or claimed later', async () => {
    const session = fc.uniqueArray(fc.integer({ min: 40, max: 90_000 }), { minLength: 1, maxLength: 4 })
    const harms = fc.array(fc.constantFrom('none', 'damaged', 'lost', 'rival'), { minLength: 16, maxLength: 16 })
    await fc.assert(
      fc.asyncProperty(fc.array(session, { minLength: 1, maxLength: 4 }), harms, async (sessions, harmOf) => {
        begin()
        const good: [from: number, to: number][] = []
        let second = 0
        for (const cuts of sessions) {
          let from = 0
          for (const to of cuts.sort((a, b) => a - b)) {
            const key = put(from, to, ++second)
            const harm = harmOf[second - 1]
            if (harm === 'damaged') s3.bucket('b').corrupt(key)
            if (harm === 'lost') s3.bucket('b').remove(key)
            if (harm === 'none' || harm === 'rival') good.push([from, to])
            if (harm === 'rival') put(from, to, 50, flipped(segment, from))
            from = to
          }
        }
        let expected = 0
        for (let more = true; more;) {
          const next = good.find(([from, to]) => from <= expected && expected < to)
          more = next !== undefined
          if (next) expected = next[1]
        }
        expect(await joined()).toBe(expected === 0 ? null : expected)
      }),
      { numRuns: 40 },
    )
  })

  test('is nothing when there are none, and complains of nothing', async () => {
    expect(await read()).toBeNull()
    expect(warnings).toEqual([])
  })

  test('ends at a damaged tail that no other covers, and says so', async () => {
    put(0, 1000)
    const key = put(1000, 2000)
    put(2000, 3000)
    s3.bucket('b').corrupt(key)
    expect(await joined()).toBe(1000)
    expect(warnings).toEqual([
      expect.stringContaining(`${key} `),
      `tails of ${NAME} end at 0/7003E8 and go on at 0/7007D0 only`,
    ])
  })

  test('goes round a damaged tail by another session that holds the same bytes', async () => {
    put(0, 1000, 1)
    s3.bucket('b').corrupt(put(1000, 2000, 2))
    put(2000, 3000, 3)
    put(0, 2500, 4)
    put(2500, 4000, 5)
    expect(await joined()).toBe(4000)
    expect(warnings).toHaveLength(1)
  })

  test('takes what was stored first and names what contradicts it', async () => {
    put(0, 1000, 1)
    const rival = put(500, 1500, 3, flipped(segment, 700))
    put(1000, 1200, 2)
    expect(await joined()).toBe(1200)
    expect(warnings).toEqual([expect.stringMatching(`stored in two ways from 0/7002BC on: .* and not ${rival}$`)])
  })

  test('names a second content of the same place', async () => {
    put(0, 1000, 1)
    const rival = put(0, 1000, 2, flipped(segment, 700))
    expect(await joined()).toBe(1000)
    expect(warnings).toEqual([expect.stringMatching(`0/7002BC on: .* and not ${rival}$`)])
  })

  test('reads what was stored first when somebody has stored over it', async () => {
    const key = put(0, 1000, 1)
    s3.bucket('b').put(key, Buffer.from('forged'), at(2))
    expect(await joined()).toBe(1000)
  })

  test('may be cut inside its header, and counts when all of that is there', async () => {
    put(0, 39)
    expect(await joined()).toBeNull()
    put(39, 40)
    expect(await joined()).toBe(40)
    expect(warnings).toEqual([])
  })

  test('may be all of it', async () => {
    put(0, 1000)
    put(1000, MB)
    expect(await joined()).toBe(MB)
  })

  test("is refused when it is another server's or another segment", async () => {
    const other = Buffer.from(segment)
    other.writeBigUInt64LE(1n, 24)
    put(0, 1000, 1, other)
    expect(await read()).toBeNull()
    expect(warnings).toEqual([expect.stringContaining('belongs to system 1')])
  })

  test.each([1, 16, 64])('of %i MB is told from its header, also where its name fits every size', async (megabytes) => {
    const segmentBytes = megabytes * MB
    const start = 0x100000000n
    const bytes = randomSegment(start, segmentBytes)
    made.tail(1, start, bytes.subarray(0, 5000))
    const name = segmentName({ timeline: 1, start }, segmentBytes)
    // SyntheticArchive names segments of 1 MB; at this place the names of all sizes are the same.
    expect(name).toBe('000000010000000100000000')
    const partial = await read(name)
    expect([partial!.stored.length, partial!.padded.length, partial!.end]).toEqual([5000, segmentBytes, start + 5000n])
    expect(await read(name, { sizes: [2 * MB] })).toBeNull()
  })

  test('is an error and no end of WAL when the archive does not answer', async () => {
    put(0, 1000)
    const undo = s3.fail({
      op: 'GetObject',
      times: 1_000,
      fault: { kind: 'status', status: 403, code: 'AccessDenied' },
    })
    await expect(read()).rejects.toMatchObject({ code: 'archive_refused' })
    undo()
  })
})
