import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { backupPrefix, basePrefix, homePrefix } from '../../src/box/key-names.js'
import { listHome } from '../../src/keyholder/list-server.js'
import { actions, ago, becauseOf, LAST_2, NO_RULE, PrunableArchive } from '../sandbox/prunable-archive.js'

let on: PrunableArchive

beforeAll(async () => {
  on = await PrunableArchive.start()
})

afterAll(() => on.close())

describe.each(['versioned', 'plain'])('prune in a %s bucket', (bucket) => {
  test('deletes what no rule keeps, with its WAL, and nothing else', async () => {
    const [first, second, third, fourth] = on.fill(bucket)
    const before = on.stored()
    const dry = await on.run({}, false)
    expect(on.stored()).toEqual(before)
    expect(actions(dry)).toEqual({ [first!]: 'delete', [second!]: 'delete', [third!]: 'keep', [fourth!]: 'keep' })

    const done = await on.run()
    expect(done.totals).toMatchObject({ delete_objects: dry.totals.delete_objects })
    expect(done.lives[0]).toMatchObject({ deleted_objects: dry.totals.delete_objects, retained: [] })
    expect(await on.restorable()).toEqual([third, fourth])
    // Two backups of three objects each, and segments 4 to 11.
    expect(before.length - on.stored().length).toBe(6 + 8)
    expect((await on.run()).totals.delete_objects).toBe(0)
  })
})

describe('prune', () => {
  beforeEach(() => void on.fill('versioned'))

  test('deletes every version of a key and its delete markers, and stores the plan first', async () => {
    const { bucket } = on.made
    const [key] = bucket.keys(basePrefix(on.made.home)).filter((one) => one.includes('/base/000000'))
    bucket.put(key!, Buffer.from('another'), { storedAt: ago(20) })
    bucket.delete(key!, ago(15))
    const { lives } = await on.run()
    expect(bucket.versions(key!)).toEqual([])
    const [planId] = lives[0]!.plans
    const prefix = `.postbox/prune/${on.made.server}/${on.made.home.systemIdentifier}/`
    const plan = JSON.parse(bucket.get(`${prefix}${planId!}.json`).toString()) as {
      groups: { keys: string[]; because: string }[]
    }
    expect(plan.groups.flatMap(({ keys }) => keys.map((one) => homePrefix(on.made.home) + one))).toContain(key)
    expect(plan.groups.every(({ because }) => because !== '')).toBe(true)
    expect(JSON.parse(bucket.get(`${prefix}${planId!}.closed.json`).toString())).toMatchObject({ by: 'itself' })
    const writes = on.s3.requests.filter(
      (one) => ['PutObject', 'DeleteObject'].includes(one.op) && one.bucket === 'versioned',
    )
    const firstDelete = writes.findIndex(
      (one) => one.op === 'DeleteObject' && one.key?.startsWith(`${on.made.server}/`),
    )
    expect(writes[firstDelete - 1]).toMatchObject({ op: 'PutObject', key: `${prefix}${planId!}.json` })
    expect(writes[firstDelete]!.key).toMatch(/\/manifest-/)
  })

  test('keeps what is on hold, with its own WAL, and the hole in the chain of manifests is no surprise', async () => {
    const [first] = await on.restorable()
    const backups_ = { ...LAST_2.backups, hold: [first!] }
    const report = await on.run({ backups: backups_, pointInTimeSeconds: 15 * 86_400 })
    expect(becauseOf(report, first!)).toContain('on hold')
    expect(await on.restorable()).toContain(first)
    expect(
      on
        .stored()
        .filter((key) => key.includes('/wal/'))
        .map((key) => key.slice(-18, -16)),
    ).toBeDefined()
    // Of the one on hold the two segments from start to end, and all of the newest two.
    const segments = on.storedWal()
    expect(segments).toHaveLength(2 + 4 + 4)
    const { backups } = await listHome(on.archive, on.made.home)
    expect(backups.flatMap(({ problems }) => problems)).toEqual([])
  })

  test('keeps the backups and the WAL of the point-in-time window, although no rule keeps them', async () => {
    const report = await on.run({ backups: { ...LAST_2.backups, last: 1 }, pointInTimeSeconds: 25 * 86_400 })
    const [, second, third, fourth] = Object.keys(actions(report)).sort()
    expect(becauseOf(report, second!)).toContain('point-in-time window')
    // All moments are reached from the one before the window; that there are later ones is no promise.
    expect(await on.restorable()).toEqual([second, fourth])
    expect(actions(report)[third!]).toBe('delete')
    const { wal_gaps } = await listHome(on.archive, on.made.home)
    expect(wal_gaps).toEqual([])
  })

  test('keeps the WAL of the window although its backups were on.made to look suspicious', async () => {
    const all = await on.restorable()
    for (const id of all.slice(0, 3)) {
      on.made.bucket.put(`${backupPrefix(on.made.home, id)}manifest-0123456789ab.json`, Buffer.from('{}'))
    }
    const wal = on.storedWal()
    await on.run({ pointInTimeSeconds: 25 * 86_400 })
    expect(await on.restorable()).toEqual(all)
    expect(on.storedWal()).toEqual(wal)
  })

  test('never deletes a parent of a kept incremental', async () => {
    const [first] = Object.keys(actions(await on.run({}, false))).sort()
    const child = on.backUp(5, 1, first!)
    const report = await on.run({ backups: { ...LAST_2.backups, last: 1 } })
    expect(becauseOf(report, first!)).toBe('a kept backup builds on it')
    expect(await on.restorable()).toEqual([first, child])
  })

  test('never deletes the last good one, however old, and whatever is asked', async () => {
    const [, , , last] = Object.keys(actions(await on.run({}, false))).sort()
    await on.run({ backups: { ...LAST_2.backups, last: 1 } }, true, [last!])
    expect(await on.restorable()).toEqual([last])
  })

  test('reports what nobody accounts for, and leaves it', async () => {
    const [first] = await on.restorable()
    const home = homePrefix(on.made.home)
    const strangers = [
      `${home}notes.txt`,
      `${home}wal/00000001/000000010000000000000001.zst`,
      `${home}wal/00000002/000000010000000000000004-0123456789ab.zst`,
      `${home}copy/wal/00000001/000000010000000000000004-0123456789ab.zst`,
      `${home}base/${first!}/base/000009-0123456789ab.tar.zst`,
    ]
    for (const key of strangers) on.made.bucket.put(key, Buffer.from('x'), { storedAt: ago(90) })
    const report = await on.run()
    expect(report.lives[0]!.strangers.sort()).toEqual(strangers.sort())
    for (const key of strangers) expect(on.made.bucket.keys(key)).toEqual([key])
  })

  test('reports what is suspicious, keeps it, and drops it when it is named', async () => {
    const good = await on.restorable()
    on.made.clock = () => ago(35)
    const future = ago(-30).toISOString()
    const { backup_id } = on.made.backup({ startedAt: future, stoppedAt: future, start: '0/400028', stop: '0/500100' })
    const copied = ago(300).toISOString()
    const old = on.made.backup({ startedAt: copied, stoppedAt: copied, start: '0/400028', stop: '0/500100' })
    const oldest = good[0]!
    on.made.bucket.put(`${backupPrefix(on.made.home, oldest)}manifest-0123456789ab.json`, Buffer.from('{}'))
    const report = await on.run()
    expect(becauseOf(report, backup_id)).toContain('its clock lies in the future')
    expect(becauseOf(report, old.backup_id)).toContain('it was copied, or its clock was wrong')
    expect(becauseOf(report, oldest)).toContain('is a second manifest')
    expect(await on.restorable()).toEqual(expect.arrayContaining([backup_id, old.backup_id, oldest]))

    await on.run({}, true, [backup_id, old.backup_id, oldest])
    expect(await on.restorable()).toEqual(good.slice(2))
    await expect(on.run({}, true, ['20200101T000000Z-0000'])).rejects.toMatchObject({ code: 'backup_missing' })
  })

  test('leaves a backup that is being written, and takes one that never ended', async () => {
    const home = homePrefix(on.made.home)
    const part = (id: string, days: number) => {
      const key = `${home}base/${id}/base/000000-0123456789ab.tar.zst`
      on.made.bucket.put(key, Buffer.from('x'), { storedAt: ago(days) })
      return key
    }
    const [old, running] = [part('20260101T000000Z-0000', 8), part('20260102T000000Z-0000', 6)]
    // More than one request lists or deletes, of which nothing may be left.
    const more = Array.from({ length: 1100 }, (_, at) => old.replace('000000-', `${String(at + 1).padStart(6, '0')}-`))
    for (const key of more) on.made.bucket.put(key, Buffer.from('x'), { storedAt: ago(8) })
    on.made.clock = () => ago(7)
    on.made.segments(1, '0/400000', '0/800000')
    await on.run()
    expect(on.stored().filter((key) => key.includes('20260101T000000Z-0000'))).toEqual([])
    expect(on.stored()).toContain(running)
  })

  test('takes tails of whole segments, but not where the bytes differ or two servers wrote', async () => {
    on.made.clock = () => ago(5)
    const spent = on.made.tails(1, '0/C00000', [8192, 16384])
    on.made.segments(1, '0/2000000', '0/2300000')
    const [twice] = on.made.tails(1, '0/2000000', [8192])
    on.made.segment(1, '0/2000000', [ago(5).toISOString()])
    const [other] = on.made.tails(1, '0/2100000', [8192], [ago(6).toISOString()])
    const [unfinished] = on.made.tails(1, '0/2300000', [8192])
    on.made.clock = () => new Date()
    const [fresh] = on.made.tails(1, '0/2200000', [8192])
    const report = await on.run()
    for (const key of spent) expect(on.stored()).not.toContain(key)
    for (const key of [twice!, other!, unfinished!, fresh!]) expect(on.stored()).toContain(key)
    expect(report.lives[0]!.deletions.find(({ kind }) => kind === 'tail')).toMatchObject({ objects: 2 })
  })

  test('keeps dumps by rules of their own, each database and what is masked apart', async () => {
    const all = await on.restorable()
    const dump = (days: number, of: { database?: string; masked?: boolean } = {}) => {
      on.made.clock = () => ago(days)
      return on.made.dump(ago(days).toISOString(), { ...of, whole: !of.masked }).dump_id
    }
    const shop = [5, 4, 3].map((days) => dump(days))
    const [crm, masked] = [dump(20, { database: 'crm' }), dump(30, { masked: true })]
    const dumps = { ...NO_RULE, last: 1, forSeconds: 86_400 }
    const report = await on.run({ backups: null, dumps })
    expect(
      Object.keys(actions(report))
        .filter((id) => actions(report)[id] === 'delete')
        .sort(),
    ).toEqual(shop.slice(0, 2).sort())
    expect(on.stored().filter((key) => /\/dump\/.*\/manifest-/.test(key))).toHaveLength(3)
    expect(becauseOf(report, crm)).toBe('the last good one; one of the last 1')
    expect(becauseOf(report, masked)).toContain('the last good one')
    expect(await on.restorable()).toEqual(all)
    const { dumps: listed } = await listHome(on.archive, on.made.home)
    expect(listed.flatMap(({ problems }) => problems)).toEqual([])
    expect(report.lives[0]!.deletions.map(({ kind }) => kind).sort()).toEqual(['manifest', 'part'])
  })

  test('refuses to tell old from new when clocks differ', async () => {
    on.made.clock = () => ago(-1)
    const ahead = on.made.backup({
      startedAt: ago(-1).toISOString(),
      stoppedAt: ago(-1).toISOString(),
      start: '0/1400028',
      stop: '0/1400100',
    })
    const before = on.stored()
    await expect(on.run()).rejects.toMatchObject({
      code: 'clock_skew',
      message: expect.stringContaining(ahead.backup_id),
    })
    expect(on.stored()).toEqual(before)
  })
})
