import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Manifest } from '../../src/box/manifest.js'
import { verifyHome } from '../../src/keyholder/verify/verify-home.js'
import { makeSegment } from '../sandbox/make-wal.js'
import { ago, LAST_2, PrunableArchive } from '../sandbox/prunable-archive.js'
import { missing, VerifiedArchive } from '../sandbox/verified-archive.js'

// Which WAL that is missing verify calls lost, and which history.

let on: VerifiedArchive

beforeAll(async () => {
  on = await VerifiedArchive.start()
})
beforeEach(() => {
  on.begin()
})
afterAll(() => on.close())

describe('a gap', () => {
  const gap = missing(1, '0/300000', '0/400000')
  const far = 'FFFFFFFF/FF000028'
  beforeEach(() => on.wal(1, '0/400000', '0/500000'))

  test('loses what is behind it, and so it does without a backup', async () => {
    expect(await on.errors()).toEqual([`error: ${gap}`])
    on.remove(on.first.backup_id)
    // Nothing says then how long a segment is.
    expect(await on.errors()).toEqual([`error: ${missing(1, '0/3000000', '0/4000000')}`])
  })

  test('is history where a later backup begins behind it, whether or not its catalog was new', async () => {
    const { backup_id } = on.backUp(23, '0/400028')
    expect(await on.verify()).toContain(`warning: ${gap}`)
    expect(await on.errors()).toEqual([])
    // Nor can anybody take that away by storing something over it.
    const key = on.bucket.keys().find((one) => one.includes(`${backup_id}/manifest-`))!
    on.bucket.put(key, Buffer.from('garbage'))
    expect(await on.errors()).toEqual([])
  })

  test('is not hidden by a forged backup that lies behind all WAL', async () => {
    const forged = on.backUp(24, far)
    on.wal(1, far, 'FFFFFFFF/FF100000')
    expect(await on.errors()).toEqual([`error: ${gap}`])
    // One more forged one makes a chain that leads nowhere.
    on.backUp(25, far.replace('FF000028', 'FF000128'), forged)
    expect(await on.errors()).toEqual([`error: ${gap}`])
  })

  test('is not hidden by one that knows the manifest before it, once WAL is stored in front of it', async () => {
    on.backUp(24, far, on.first)
    on.wal(1, far, 'FFFFFFFF/FF100000')
    const storedAt = new Date('2026-11-24T12:00:00Z')
    on.made.segment(1, '0/500000', [], { storedAt })
    expect(await on.errors()).toEqual([`error: ${gap}`])
  })

  test('is not hidden by a forged backup with the oldest id', async () => {
    const times = { startedAt: '2020-01-01T10:00:00Z', stoppedAt: '2026-11-24T10:05:00Z' }
    const { backup_id } = on.made.backup({ ...times, start: far, stop: far.replace(/28$/, 'F0') })
    on.wal(1, far, 'FFFFFFFF/FF100000')
    expect(backup_id).toMatch(/^2020/)
    expect(await on.errors()).toEqual([`error: ${gap}`])
    expect((await on.verify()).join('\n')).toMatch(/warning: suspicious: it says that it was begun at 2020-01-01/)
  })

  test('is not hidden by one that was stored long after it says that it ended', async () => {
    on.made.clock = () => new Date('2026-11-24T10:00:00Z')
    on.made.backup({
      startedAt: '2026-11-23T10:00:00Z',
      stoppedAt: '2026-11-23T10:05:00Z',
      start: '0/400028',
      stop: '0/4000F0',
    })
    on.made.clock = null
    expect(await on.errors()).toEqual([`error: ${gap}`])
  })

  test('counts as before where the bucket was copied, and each backup has the time of the copy', async () => {
    on.remove(on.first.backup_id)
    on.made.clock = () => new Date('2026-12-24T10:00:00Z')
    on.first = on.backUp(22, '0/100028')
    on.made.clock = null
    expect(await on.errors()).toEqual([`error: ${gap}`])
    on.made.clock = () => new Date('2026-12-24T10:00:00Z')
    on.backUp(23, '0/400028', on.first)
    on.made.clock = null
    expect(await on.errors()).toEqual([])
  })

  test('is history where there is another before the next backup, which knows of the one in front', async () => {
    on.wal(1, '0/600000', '0/700000')
    on.backUp(23, '0/600028', on.first)
    expect(await on.errors()).toEqual([])
    expect(await on.verify()).toContain(`warning: ${missing(1, '0/500000', '0/600000')}`)
  })

  test('is not filled by a segment that goes on from it, and from which nothing goes on', async () => {
    const front = on.bucket.keys(on.made.walPrefix(1)).find((key) => key.includes('000000000002-'))!
    const previous = front.slice(-16, -4)
    on.made.segment(1, '0/300000', [], { previous })
    on.remove('/000000010000000000000004-')
    on.made.segment(1, '0/400000', [], { previous: 'abcdefabcdef' })
    expect(await on.errors()).toEqual([expect.stringMatching(/at 0\/400000 goes on from a segment that is not stored/)])
  })
})

describe('a server that was rewound below its oldest backup', () => {
  const gap = missing(2, '0/600000', '0/700000')
  let rewound: Manifest
  beforeEach(() => {
    on.remove(on.first.backup_id)
    on.first = on.backUp(22, '0/A00028')
    on.wal(1, '0/A00000', '0/C00000')
    on.made.history(2, [[1, '0/480000']])
    on.wal(2, '0/400000', '0/600000')
    rewound = on.backUp(23, '0/500028', null, 2)
    on.wal(2, '0/700000', '0/800000')
  })

  test('has lost what lies behind a gap on its new timeline', async () => {
    expect(await on.errors()).toEqual([`error: ${gap}`])
  })

  test('has that as history once it was backed up there behind it', async () => {
    on.backUp(24, '0/700028', rewound, 2)
    expect(await on.verify()).toContain(`warning: ${gap}`)
    expect(await on.errors()).toEqual([])
  })
})

describe('a promotion', () => {
  beforeEach(() => {
    on.wal(1, '0/300000', '0/400000')
    on.made.history(2, [[1, '0/580000']])
    on.wal(2, '0/500000', '0/700000')
  })

  test('cannot be followed where the end of the timeline before it is missing', async () => {
    expect(await on.errors()).toEqual([`error: ${missing(1, '0/400000', '0/500000')}`])
    on.made.tails(1, '0/400000', [8192])
    expect(await on.errors()).toEqual([`error: ${missing(1, '0/402000', '0/500000')}`])
    on.made.segment(1, '0/400000')
    expect(await on.errors()).toEqual([])
  })

  test('of two servers to one timeline is no loss', async () => {
    on.made.segment(1, '0/400000')
    on.made.history(2, [[1, '0/680000']])
    on.wal(1, '0/500000', '0/600000')
    on.made.segment(2, '0/700000', [], { previous: 'abcdefabcdef' })
    expect(await on.errors()).toEqual([])
  })

  test('need not be where there is a backup behind it', async () => {
    on.backUp(23, '0/500028', on.first, 2)
    expect(await on.errors()).toEqual([])
  })
})

test('two servers that wrote the same WAL in two ways have lost nothing', async () => {
  const mark = (key: string) => key.slice(-16, -4)
  const front = on.bucket.keys(on.made.walPrefix(1)).at(-1)!
  const one = on.made.segment(1, '0/300000', ['2026-11-22T12:00:00Z'], { previous: mark(front) })
  const other = on.made.segment(1, '0/300000', ['2026-11-22T13:00:00Z'], { previous: mark(front) })
  on.made.segment(1, '0/400000', [], { previous: mark(other) })
  on.made.tails(1, '0/400000', [8192], [], { previous: mark(one) })
  expect(await on.errors(true)).toEqual([])
})

test('what prune leaves of WAL has lost nothing', async () => {
  const pruned = await PrunableArchive.start()
  try {
    const [oldest] = pruned.fill()
    const at = (days: number) => ({ storedAt: ago(days) })
    // The beginning of a segment that never became whole, half of it younger than what prune deletes.
    const from = 0x900000n
    for (const key of pruned.stored().filter((one) => one.includes('000000010000000000000009-')))
      pruned.made.bucket.remove(key)
    pruned.made.tail(1, from, Buffer.alloc(4096), 0, at(20))
    pruned.made.tail(1, from, Buffer.alloc(8192), 4096, at(0.5))
    await pruned.run({ backups: { ...LAST_2.backups, last: 1, hold: [oldest!] }, pointInTimeSeconds: 5 * 86_400 })
    expect(pruned.storedWal().length).toBeGreaterThan(0)
    const { problems } = await verifyHome(pruned.archive, pruned.made.home, { only: null }, () => Promise.resolve())
    expect(problems.filter(({ severity }) => severity === 'error')).toEqual([])
  } finally {
    await pruned.close()
  }
})

describe('tails behind a segment that is not stored', () => {
  const tail = (storedAt: Date) => {
    const { timeline, start } = { timeline: 1, start: 0x400000n }
    const { systemIdentifier } = on.made.home
    const raw = makeSegment({ timeline, lsn: start, segmentBytes: on.made.segmentBytes, systemIdentifier })
    on.made.tail(timeline, start, raw.subarray(0, 8192), 0, { storedAt })
  }
  const gap = missing(1, '0/300000', '0/400000')

  test('may have overtaken it', async () => {
    tail(new Date())
    expect(await on.verify()).toEqual([`warning: ${gap}, unless it is on its way: verify again in an hour`])
  })

  test('are lost when it does not come', async () => {
    tail(new Date('2026-11-22T12:00:00Z'))
    expect(await on.verify()).toEqual([`error: ${gap}`])
  })
})
