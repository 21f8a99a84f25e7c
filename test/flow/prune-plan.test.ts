import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { backupPrefix } from '../../src/box/key-names.js'
import { ago, becauseOf, LAST_2, PrunableArchive } from '../sandbox/prunable-archive.js'

const undo: (() => void)[] = []

let on: PrunableArchive

beforeAll(async () => {
  on = await PrunableArchive.start()
})

afterAll(() => on.close())

afterEach(() => {
  for (const one of undo.splice(0)) one()
})

describe('a plan', () => {
  test('that was interrupted at any deletion is finished by the next run, and half a backup is never offered', async () => {
    on.fill('versioned')
    const before = on.s3.requests.length
    await on.run()
    const deletions = on.s3.requests.slice(before).filter(({ op }) => op === 'DeleteObject').length
    const left = withoutTimes(on.stored())
    expect(deletions).toBe(14)
    for (let nth = 1; nth <= deletions; nth++) {
      for (const fault of [
        { kind: 'status', status: 400 },
        { kind: 'cut', when: 'after-store' },
      ] as const) {
        on.fill('versioned')
        const stop = on.s3.fail({ op: 'DeleteObject', key: new RegExp(`^${on.made.server}/`), nth, times: 99, fault })
        await expect(on.run()).rejects.toThrow()
        stop()
        expect(await on.halfDeleted()).toEqual([])
        const { lives } = await on.run()
        expect(lives[0]!.open_plans).toHaveLength(1)
        expect(withoutTimes(on.stored())).toEqual(left)
        expect((await on.run()).lives[0]!.open_plans).toEqual([])
      }
    }
  })

  test('whose last deletion was one version of a manifest is finished, be it that of a suspicious backup', async () => {
    const [first] = on.fill('versioned')
    const [key] = on.made.bucket.keys(`${backupPrefix(on.made.home, first!)}manifest-`)
    on.made.bucket.put(key!, Buffer.from('{}'))
    const stop = on.s3.fail({
      op: 'DeleteObject',
      key: /manifest/,
      nth: 2,
      times: 99,
      fault: { kind: 'status', status: 400 },
    })
    await expect(on.run({ backups: { ...LAST_2.backups, last: 3 } }, true, [first!])).rejects.toThrow()
    stop()
    expect(on.made.bucket.versions(key!)).toHaveLength(1)
    await on.run({ backups: { ...LAST_2.backups, last: 3 } })
    expect(on.stored().filter((one) => one.includes(first!))).toEqual([])
    expect(await on.restorable()).toHaveLength(3)
  })

  test('is not followed where the rules of today keep what it says, or when it is for another server', async () => {
    const [first] = on.fill('versioned')
    undo.push(on.s3.fail({ op: 'DeleteObject', fault: { kind: 'status', status: 400 }, times: 99 }))
    await expect(on.run()).rejects.toThrow()
    undo.splice(0).forEach((one) => one())
    const { bucket } = on.made
    const prefix = `.postbox/prune/${on.made.server}/${on.made.home.systemIdentifier}/`
    const [plan] = bucket.keys(prefix)
    bucket.put(`.postbox/prune/db0/1/20260101T000000Z-0000.json`, bucket.get(plan!))
    bucket.put(`${prefix}20260101T000000Z-0000.json`, bucket.get(plan!))

    const report = await on.run({ backups: { ...LAST_2.backups, last: 4 } })
    expect(report.totals.delete_objects).toBe(0)
    expect(report.lives[0]!.notes).toEqual([
      expect.stringContaining('20260101T000000Z-0000.json is no plan for this life'),
      ...[1, 2].map(() => expect.stringContaining('is kept') as string),
    ])
    expect(await on.restorable()).toContain(first)
  })

  test('keeps what Object Lock keeps, whole and with its WAL, and is done when it has ended', async () => {
    on.fill('locked')
    const past = ago(1)
    const release = (what: (key: string) => boolean) => {
      for (const key of on.stored().filter(what))
        for (const version of on.made.bucket.versions(key)) version.retainUntil = past
    }
    const all = await on.restorable()
    const report = await on.run()
    expect(becauseOf(report, all[0]!)).toMatch(/^Object Lock until /)
    expect(await on.restorable()).toEqual(all)

    // The manifests' time is over, that of the parts and of WAL is not.
    release((key) => key.includes('/manifest-'))
    const partly = await on.run()
    expect(partly.lives[0]!.retained.length).toBeGreaterThan(0)
    expect(partly.lives[0]!.retained[0]!.because).toMatch(/^Object Lock until /)
    expect(await on.restorable()).toEqual(all.slice(2))
    expect(await on.halfDeleted()).toEqual([])

    release(() => true)
    await on.run()
    expect(on.storedWal()).toHaveLength(8)
  })

  test('is refused to a key that may not delete, with a hint', async () => {
    on.fill('versioned')
    undo.push(
      on.s3.fail({ op: 'DeleteObject', times: 99, fault: { kind: 'status', status: 403, code: 'AccessDenied' } }),
    )
    await expect(on.run()).rejects.toMatchObject({
      code: 'archive_refused',
      hint: expect.stringContaining('s3:DeleteObjectVersion'),
    })
  })
})

/** Keys of a server without what differs from one to the next. */
const withoutTimes = (keys: readonly string[]): string[] =>
  keys.map((key) => key.slice(on.made.server.length).replace(/manifest-[0-9a-f]{12}\.json/, 'manifest'))
