import type { S3Client } from '@aws-sdk/client-s3'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { backupPrefix, basePrefix, homePrefix } from '../../src/box/key-names.js'
import { locateParts } from '../../src/keyholder/fetch-parts.js'
import { listHome } from '../../src/keyholder/list-server.js'
import { openDeletableArchive, type DeletableArchive } from '../../src/keyholder/prune/deletable-archive.js'
import { prune } from '../../src/keyholder/prune/prune.js'
import type { PruneReport } from '../../src/keyholder/prune/prune-report.js'
import type { Retention } from '../../src/keyholder/prune/retention-schema.js'
import { backups } from '../../src/keyholder/stored-backups.js'
import { startS3, type LocalS3 } from '../sandbox/s3/server.js'
import type { Bucket } from '../sandbox/s3/store.js'
import { sdkClient } from '../sandbox/s3/test-grant.js'
import { SyntheticArchive } from '../sandbox/synthetic-archive.js'

let s3: LocalS3
let client: S3Client
let archive: DeletableArchive
let made: SyntheticArchive
let count = 0
const undo: (() => void)[] = []

const DAY = 86_400_000
const NOW = Date.now()
const ago = (days: number): Date => new Date(NOW - days * DAY)
const NONE = { days: 0, weeks: 0, months: 0, years: 0, hold: [] }
const LAST_2: Retention = {
  backups: { ...NONE, last: 2, forSeconds: 86_400 },
  dumps: null,
  pointInTimeSeconds: null,
  incompleteAfterSeconds: 7 * 86_400,
}

beforeAll(async () => {
  s3 = await startS3({
    buckets: [{ name: 'versioned', versioned: true }, { name: 'plain' }, { name: 'locked', lock: true }],
  })
  client = sdkClient(s3)
})

afterEach(() => {
  for (const one of undo.splice(0)) one()
})

afterAll(async () => {
  client.destroy()
  await s3.close()
})

/** A server with a backup every ten days, of two segments each, the last one ten days ago; WAL without a gap. */
function fill(bucket: string, backupCount = 4): string[] {
  made = new SyntheticArchive(s3.bucket(bucket), `db${++count}`)
  archive = openDeletableArchive(client, bucket, { patienceMs: 1 })
  const ids: string[] = []
  for (let n = 1; n <= backupCount; n++) ids.push(backUp(n, 10 * (backupCount + 1 - n)))
  return ids
}

/** Backup `n` of so many days ago, in segments 4n and 4n + 1, and WAL up to the next one. */
function backUp(n: number, days: number, given: Partial<{ parent: string; retainUntil: Date }> = {}): string {
  const { parent = null, ...version } = given
  made.clock = () => ago(days)
  const megabyte = (at: number, offset = '00000') => `0/${at.toString(16).toUpperCase()}${offset}`
  const lsn = { start: megabyte(4 * n, '00028'), stop: megabyte(4 * n + 1, '00100') }
  const times = { startedAt: ago(days).toISOString(), stoppedAt: ago(days).toISOString() }
  const { backup_id } = made.backup({ ...times, ...lsn, parent }, version)
  made.segments(1, megabyte(4 * n), megabyte(4 * n + 4))
  return backup_id
}

const run = (retention: Partial<Retention> = {}, confirm = true, drop: string[] = []): Promise<PruneReport> =>
  prune(archive, { server: made.server, retention: { ...LAST_2, ...retention }, drop, confirm })

const stored = (bucket: Bucket = made.bucket): string[] =>
  bucket.allKeys.filter((key) => key.startsWith(`${made.server}/`))

async function restorable(): Promise<string[]> {
  const { backups: listed } = await listHome(archive, made.home)
  return listed
    .filter(({ state }) => state === 'restorable')
    .map(({ backup_id }) => backup_id)
    .sort()
}

const actions = ({ lives }: PruneReport): Record<string, string> =>
  Object.fromEntries(lives.flatMap(({ decisions }) => decisions.map(({ id, action }) => [id, action])))

const becauseOf = ({ lives }: PruneReport, id: string): string =>
  lives
    .flatMap(({ decisions }) => decisions)
    .find((one) => one.id === id)!
    .because.join('; ')

describe.each(['versioned', 'plain'])('prune in a %s bucket', (bucket) => {
  test('deletes what no rule keeps, with its WAL, and nothing else', async () => {
    const [first, second, third, fourth] = fill(bucket)
    const before = stored()
    const dry = await run({}, false)
    expect(stored()).toEqual(before)
    expect(actions(dry)).toEqual({ [first!]: 'delete', [second!]: 'delete', [third!]: 'keep', [fourth!]: 'keep' })

    const done = await run()
    expect(done.totals).toMatchObject({ delete_objects: dry.totals.delete_objects })
    expect(done.lives[0]).toMatchObject({ deleted_objects: dry.totals.delete_objects, retained: [] })
    expect(await restorable()).toEqual([third, fourth])
    // Two backups of three objects each, and segments 4 to 11.
    expect(before.length - stored().length).toBe(6 + 8)
    expect((await run()).totals.delete_objects).toBe(0)
  })
})

describe('prune', () => {
  beforeEach(() => void fill('versioned'))

  test('deletes every version of a key and its delete markers, and stores the plan first', async () => {
    const { bucket } = made
    const [key] = bucket.keys(basePrefix(made.home)).filter((one) => one.includes('/base/000000'))
    bucket.put(key!, Buffer.from('another'), { storedAt: ago(20) })
    bucket.delete(key!, ago(15))
    const { lives } = await run()
    expect(bucket.versions(key!)).toEqual([])
    const [planId] = lives[0]!.plans
    const prefix = `.postbox/prune/${made.server}/${made.home.systemIdentifier}/`
    const plan = JSON.parse(bucket.get(`${prefix}${planId!}.json`).toString()) as {
      groups: { keys: string[]; because: string }[]
    }
    expect(plan.groups.flatMap(({ keys }) => keys.map((one) => homePrefix(made.home) + one))).toContain(key)
    expect(plan.groups.every(({ because }) => because !== '')).toBe(true)
    expect(JSON.parse(bucket.get(`${prefix}${planId!}.closed.json`).toString())).toMatchObject({ by: 'itself' })
    const writes = s3.requests.filter(
      (one) => ['PutObject', 'DeleteObject'].includes(one.op) && one.bucket === 'versioned',
    )
    const firstDelete = writes.findIndex((one) => one.op === 'DeleteObject' && one.key?.startsWith(`${made.server}/`))
    expect(writes[firstDelete - 1]).toMatchObject({ op: 'PutObject', key: `${prefix}${planId!}.json` })
    expect(writes[firstDelete]!.key).toMatch(/\/manifest-/)
  })

  test('keeps what is on hold, with its own WAL', async () => {
    const [first] = await restorable()
    const backups_ = { ...LAST_2.backups!, hold: [first!] }
    const report = await run({ backups: backups_, pointInTimeSeconds: 15 * 86_400 })
    expect(becauseOf(report, first!)).toContain('on hold')
    expect(await restorable()).toContain(first)
    expect(
      stored()
        .filter((key) => key.includes('/wal/'))
        .map((key) => key.slice(-18, -16)),
    ).toBeDefined()
    // Of the one on hold the two segments from start to end, and all of the newest two.
    const segments = stored().filter((key) => key.includes('/wal/'))
    expect(segments).toHaveLength(2 + 4 + 4)
  })

  test('keeps the backups and the WAL of the point-in-time window, although no rule keeps them', async () => {
    const report = await run({ backups: { ...LAST_2.backups!, last: 1 }, pointInTimeSeconds: 25 * 86_400 })
    const [, second, third, fourth] = Object.keys(actions(report)).sort()
    expect(becauseOf(report, second!)).toContain('point-in-time window')
    // All moments are reached from the one before the window; that there are later ones is no promise.
    expect(await restorable()).toEqual([second, fourth])
    expect(actions(report)[third!]).toBe('delete')
    const { wal_gaps } = await listHome(archive, made.home)
    expect(wal_gaps).toEqual([])
  })

  test('never deletes a parent of a kept incremental', async () => {
    const [first] = Object.keys(actions(await run({}, false))).sort()
    const child = backUp(5, 1, { parent: first! })
    const report = await run({ backups: { ...LAST_2.backups!, last: 1 } })
    expect(becauseOf(report, first!)).toBe('a kept backup builds on it')
    expect(await restorable()).toEqual([first, child])
  })

  test('never deletes the last good one, however old, and whatever is asked', async () => {
    const [, , , last] = Object.keys(actions(await run({}, false))).sort()
    await run({ backups: { ...LAST_2.backups!, last: 1 } }, true, [last!])
    expect(await restorable()).toEqual([last])
  })

  test('reports what nobody accounts for, and leaves it', async () => {
    const [first] = await restorable()
    const home = homePrefix(made.home)
    const strangers = [
      `${home}notes.txt`,
      `${home}wal/00000001/000000010000000000000001.zst`,
      `${home}wal/00000002/000000010000000000000004-0123456789ab.zst`,
      `${home}copy/wal/00000001/000000010000000000000004-0123456789ab.zst`,
      `${home}base/${first!}/base/000009-0123456789ab.tar.zst`,
    ]
    for (const key of strangers) made.bucket.put(key, Buffer.from('x'), { storedAt: ago(90) })
    const report = await run()
    expect(report.lives[0]!.strangers.sort()).toEqual(strangers.sort())
    for (const key of strangers) expect(made.bucket.keys(key)).toEqual([key])
  })

  test('reports what is suspicious, keeps it, and drops it when it is named', async () => {
    const good = await restorable()
    made.clock = () => ago(35)
    const future = new Date(NOW + 30 * DAY).toISOString()
    const { backup_id } = made.backup({ startedAt: future, stoppedAt: future, start: '0/400028', stop: '0/500100' })
    const copied = ago(300).toISOString()
    const old = made.backup({ startedAt: copied, stoppedAt: copied, start: '0/400028', stop: '0/500100' })
    const oldest = good[0]!
    made.bucket.put(`${backupPrefix(made.home, oldest)}manifest-0123456789ab.json`, Buffer.from('{}'))
    const report = await run()
    expect(becauseOf(report, backup_id)).toContain('its clock lies in the future')
    expect(becauseOf(report, old.backup_id)).toContain('it was copied, or its clock was wrong')
    expect(becauseOf(report, oldest)).toContain('is a second manifest')
    expect(await restorable()).toEqual(expect.arrayContaining([backup_id, old.backup_id, oldest]))

    await run({}, true, [backup_id, old.backup_id, oldest])
    expect(await restorable()).toEqual(good.slice(2))
    await expect(run({}, true, ['20200101T000000Z-0000'])).rejects.toMatchObject({ code: 'backup_missing' })
  })

  test('leaves a backup that is being written, and takes one that never ended', async () => {
    const home = homePrefix(made.home)
    const part = (id: string, days: number) => {
      const key = `${home}base/${id}/base/000000-0123456789ab.tar.zst`
      made.bucket.put(key, Buffer.from('x'), { storedAt: ago(days) })
      return key
    }
    const [old, running] = [part('20260101T000000Z-0000', 8), part('20260102T000000Z-0000', 6)]
    made.clock = () => ago(7)
    made.segments(1, '0/400000', '0/800000')
    await run()
    expect(stored()).not.toContain(old)
    expect(stored()).toContain(running)
  })

  test('takes tails of whole segments, but not where the bytes differ or two servers wrote', async () => {
    made.clock = () => ago(5)
    const spent = made.tails(1, '0/C00000', [8192, 16384])
    made.segments(1, '0/2000000', '0/2300000')
    const [twice] = made.tails(1, '0/2000000', [8192])
    made.segment(1, '0/2000000', [ago(5).toISOString()])
    const [other] = made.tails(1, '0/2100000', [8192], [ago(6).toISOString()])
    const [unfinished] = made.tails(1, '0/2300000', [8192])
    made.clock = () => new Date()
    const [fresh] = made.tails(1, '0/2200000', [8192])
    const report = await run()
    for (const key of spent) expect(stored()).not.toContain(key)
    for (const key of [twice!, other!, unfinished!, fresh!]) expect(stored()).toContain(key)
    expect(report.lives[0]!.deletions.find(({ kind }) => kind === 'tail')).toMatchObject({ objects: 2 })
  })

  test('takes a whole life from before an upgrade when nothing of it is kept, and not while it has the last good one', async () => {
    const old = made
    const after = new SyntheticArchive(s3.bucket('versioned'), old.server, '7000000000000000002')
    after.clock = () => ago(8)
    after.segments(1, '0/400000', '0/600000')
    await run({ backups: { ...LAST_2.backups!, last: 1 } })
    expect(await restorable()).toHaveLength(1)
    made = after
    const id = backUp(1, 8)
    await run({ backups: { ...LAST_2.backups!, last: 1 } })
    expect(s3.bucket('versioned').keys(homePrefix(old.home))).toEqual([])
    expect(await restorable()).toEqual([id])
  })

  test('keeps dumps by rules of their own, each database and what is masked apart', async () => {
    const all = await restorable()
    const dump = (days: number, of: { database?: string; masked?: boolean } = {}) => {
      made.clock = () => ago(days)
      return made.dump(ago(days).toISOString(), of)
    }
    const shop = [5, 4, 3].map((days) => dump(days))
    const [crm, masked] = [dump(20, { database: 'crm' }), dump(30, { masked: true })]
    const dumps = { ...NONE, last: 1, forSeconds: 86_400 }
    const report = await run({ backups: null, dumps })
    expect(
      Object.keys(actions(report))
        .filter((id) => actions(report)[id] === 'delete')
        .sort(),
    ).toEqual(shop.slice(0, 2).sort())
    expect(stored().filter((key) => /\/dump\/.*\/manifest-/.test(key))).toHaveLength(3)
    expect(becauseOf(report, crm)).toBe('the last good one; one of the last 1')
    expect(becauseOf(report, masked)).toContain('the last good one')
    expect(await restorable()).toEqual(all)
    expect(report.lives[0]!.deletions.map(({ kind }) => kind).sort()).toEqual(['manifest', 'part'])
  })

  test('refuses to tell old from new when clocks differ', async () => {
    made.clock = () => ago(-1)
    const ahead = made.backup({
      startedAt: ago(-1).toISOString(),
      stoppedAt: ago(-1).toISOString(),
      start: '0/1400028',
      stop: '0/1400100',
    })
    const before = stored()
    await expect(run()).rejects.toMatchObject({ code: 'clock_skew', message: expect.stringContaining(ahead.backup_id) })
    expect(stored()).toEqual(before)
  })
})

describe('a plan', () => {
  test('that was interrupted at any deletion is finished by the next run, and half a backup is never offered', async () => {
    fill('versioned')
    const before = s3.requests.length
    await run()
    const deletions = s3.requests.slice(before).filter(({ op }) => op === 'DeleteObject').length
    const left = withoutTimes(stored())
    expect(deletions).toBe(14)
    for (let nth = 1; nth <= deletions; nth++) {
      for (const fault of [
        { kind: 'status', status: 400 },
        { kind: 'cut', when: 'after-store' },
      ] as const) {
        fill('versioned')
        const stop = s3.fail({ op: 'DeleteObject', key: new RegExp(`^${made.server}/`), nth, times: 99, fault })
        await expect(run()).rejects.toThrow()
        stop()
        await allOfferedAreWhole()
        const { lives } = await run()
        expect(lives[0]!.open_plans).toHaveLength(1)
        expect(withoutTimes(stored())).toEqual(left)
        expect((await run()).lives[0]!.open_plans).toEqual([])
      }
    }
  })

  test('whose last deletion was one version of a manifest is finished, be it that of a suspicious backup', async () => {
    const [first] = fill('versioned')
    const [key] = made.bucket.keys(`${backupPrefix(made.home, first!)}manifest-`)
    made.bucket.put(key!, Buffer.from('{}'))
    const stop = s3.fail({
      op: 'DeleteObject',
      key: /manifest/,
      nth: 2,
      times: 99,
      fault: { kind: 'status', status: 400 },
    })
    await expect(run({ backups: { ...LAST_2.backups!, last: 3 } }, true, [first!])).rejects.toThrow()
    stop()
    expect(made.bucket.versions(key!)).toHaveLength(1)
    await run({ backups: { ...LAST_2.backups!, last: 3 } })
    expect(stored().filter((one) => one.includes(first!))).toEqual([])
    expect(await restorable()).toHaveLength(3)
  })

  test('is not followed where the rules of today keep what it says, or when it is for another server', async () => {
    const [first] = fill('versioned')
    undo.push(s3.fail({ op: 'DeleteObject', fault: { kind: 'status', status: 400 }, times: 99 }))
    await expect(run()).rejects.toThrow()
    undo.splice(0).forEach((one) => one())
    const { bucket } = made
    const prefix = `.postbox/prune/${made.server}/${made.home.systemIdentifier}/`
    const [plan] = bucket.keys(prefix)
    bucket.put(`.postbox/prune/db0/1/20260101T000000Z-0000.json`, bucket.get(plan!))
    bucket.put(`${prefix}20260101T000000Z-0000.json`, bucket.get(plan!))

    const report = await run({ backups: { ...LAST_2.backups!, last: 4 } })
    expect(report.totals.delete_objects).toBe(0)
    expect(report.lives[0]!.notes).toEqual([
      expect.stringContaining('20260101T000000Z-0000.json is no plan for this life'),
      ...[1, 2].map(() => expect.stringContaining('is kept') as string),
    ])
    expect(await restorable()).toContain(first)
  })

  test('keeps what Object Lock keeps, whole and with its WAL, and is done when it has ended', async () => {
    fill('locked')
    const past = ago(1)
    const release = (what: (key: string) => boolean) => {
      for (const key of stored().filter(what))
        for (const version of made.bucket.versions(key)) version.retainUntil = past
    }
    const all = await restorable()
    const report = await run()
    expect(becauseOf(report, all[0]!)).toMatch(/^Object Lock until /)
    expect(await restorable()).toEqual(all)

    // The manifests' time is over, that of the parts and of WAL is not.
    release((key) => key.includes('/manifest-'))
    const partly = await run()
    expect(partly.lives[0]!.retained.length).toBeGreaterThan(0)
    expect(partly.lives[0]!.retained[0]!.because).toMatch(/^Object Lock until /)
    expect(await restorable()).toEqual(all.slice(2))
    await allOfferedAreWhole()

    release(() => true)
    await run()
    expect(stored().filter((key) => key.includes('/wal/'))).toHaveLength(8)
  })

  test('is refused to a key that may not delete, with a hint', async () => {
    fill('versioned')
    undo.push(s3.fail({ op: 'DeleteObject', times: 99, fault: { kind: 'status', status: 403, code: 'AccessDenied' } }))
    await expect(run()).rejects.toMatchObject({
      code: 'archive_refused',
      hint: expect.stringContaining('s3:DeleteObjectVersion'),
    })
  })
})

/** Keys of a server without what differs from one to the next. */
const withoutTimes = (keys: readonly string[]): string[] =>
  keys.map((key) => key.slice(made.server.length).replace(/manifest-[0-9a-f]{12}\.json/, 'manifest'))

/** Every backup that has a manifest has all its parts and its WAL. */
async function allOfferedAreWhole(): Promise<void> {
  for await (const backup of backups(archive, made.home)) {
    if (backup.state === 'committed') await locateParts(archive, made.home, backup.manifest)
  }
  const { backups: listed } = await listHome(archive, made.home)
  expect(listed.filter(({ state }) => state !== 'restorable' && state !== 'incomplete')).toEqual([])
}
