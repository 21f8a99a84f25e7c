import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { homePrefix } from '../../src/box/key-names.js'
import { ago, becauseOf, LAST_2, NO_RULE, PrunableArchive } from '../sandbox/prunable-archive.js'
import { SyntheticArchive } from '../sandbox/synthetic-archive.js'

let on: PrunableArchive

beforeAll(async () => {
  on = await PrunableArchive.start()
})

afterAll(() => on.close())

describe('prune of a server with two lives', () => {
  let old: SyntheticArchive
  let after: SyntheticArchive
  let newer: string
  const LAST_1 = { backups: { ...LAST_2.backups, last: 1 } }
  const leftOf = ({ home }: SyntheticArchive) => on.s3.bucket('versioned').keys(homePrefix(home))
  const restorableOf = async (one: SyntheticArchive) => {
    on.made = one
    return on.restorable()
  }

  beforeEach(() => {
    on.fill('versioned')
    old = on.made
    after = new SyntheticArchive(on.s3.bucket('versioned'), old.server, '7000000000000000002')
    on.made = after
    newer = on.backUp(1, 8)
  })

  test('keeps the last good one of the earlier with its WAL until a drill has proved the later one', async () => {
    const last = (await restorableOf(old)).at(-1)!
    // What a grant can store, and a drill of what was there before: neither proves the later life.
    after.drill(ago(7).toISOString(), newer, false)
    old.drill(ago(5).toISOString(), last)
    const report = await on.run({ ...LAST_1, pointInTimeSeconds: 86_400 })
    expect(becauseOf(report, last)).toMatch(/^the last good one of its life, and no drill has proved/)
    expect(await restorableOf(old)).toEqual([last])
    expect(leftOf(old).filter((key) => key.includes('/wal/'))).toHaveLength(4)

    after.drill(ago(4).toISOString(), newer)
    await on.run(LAST_1)
    expect(leftOf(old)).toEqual([])
    expect(await restorableOf(after)).toEqual([newer])
  })

  test('is not misled by a drill of an earlier life into which newer backups were posted', async () => {
    const [first] = await restorableOf(old)
    const forged = on.backUp(5, 2)
    old.drill(ago(1).toISOString(), first!)
    await on.run({ backups: { ...LAST_2.backups, last: 3 } })
    expect(await restorableOf(old)).toContain(forged)
    await on.run(LAST_1)
    expect(await restorableOf(after)).toEqual([newer])
  })

  test('takes either life whole when its last good one is dropped, but not both', async () => {
    const last = (await restorableOf(old)).at(-1)!
    await on.run(LAST_1, true, [last, newer])
    expect(leftOf(old)).toEqual([])
    expect(await restorableOf(after)).toEqual([newer])
  })

  test('takes the life that was forged when its last good one is dropped', async () => {
    const last = (await restorableOf(old)).at(-1)!
    await on.run(LAST_1, true, [newer])
    expect(leftOf(after)).toEqual([])
    expect(await restorableOf(old)).toEqual([last])
  })

  test('keeps the last dump of each', async () => {
    for (const [made, days] of [
      [old, 20],
      [old, 19],
      [after, 3],
    ] as const) {
      made.clock = () => ago(days)
      made.dump(ago(days).toISOString())
    }
    const dumps = { ...NO_RULE, last: 1, forSeconds: 86_400 }
    const dumpsLeft = () => [...leftOf(old), ...leftOf(after)].filter((key) => /\/dump\/.*\/manifest-/.test(key))
    await on.run({ backups: null, dumps })
    expect(dumpsLeft()).toHaveLength(2)
    after.drill(ago(4).toISOString(), newer)
    await on.run({ backups: null, dumps })
    expect(dumpsLeft()).toHaveLength(1)
  })

  test('takes WAL of a life that has no backup when another goes on', async () => {
    on.fill('versioned')
    const before = new SyntheticArchive(on.s3.bucket('versioned'), on.made.server, '7000000000000000002')
    before.clock = () => ago(8)
    before.segments(1, '0/400000', '0/600000')
    await on.run()
    expect(on.s3.bucket('versioned').keys(homePrefix(before.home))).toEqual([])
  })
})
