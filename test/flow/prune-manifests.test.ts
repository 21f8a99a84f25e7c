import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { backupPrefix } from '../../src/box/key-names.js'
import { listHome } from '../../src/keyholder/list-server.js'
import { ago, becauseOf, LAST_2, PrunableArchive } from '../sandbox/prunable-archive.js'

let on: PrunableArchive

beforeAll(async () => {
  on = await PrunableArchive.start()
})

afterAll(() => on.close())

describe('what prune reads and leaves of manifests', () => {
  beforeEach(() => void on.fill('versioned'))

  test('keeps the WAL of a kept backup whose manifest cannot be read for a while', async () => {
    const all = await on.restorable()
    const backups = { ...LAST_2.backups, last: 3, hold: [all[0]!] }
    for (const id of all.slice(0, 2)) {
      const [key] = on.made.bucket.keys(`${backupPrefix(on.made.home, id)}manifest-`)
      on.made.bucket.corrupt(key!)
      const report = await on.run({ backups })
      on.made.bucket.corrupt(key!)
      expect(becauseOf(report, id)).toContain('no manifest of it can be trusted')
      expect(report.lives[0]!.notes).toEqual([expect.stringContaining(`where ${id} lies cannot be told`)])
      expect(await on.restorable()).toEqual(all)
    }
  })

  test('reads a manifest once more before it distrusts it', async () => {
    const [first] = await on.restorable()
    const [key] = on.made.bucket.keys(`${backupPrefix(on.made.home, first!)}manifest-`)
    const { length } = on.made.bucket.get(key!)
    const fault = { kind: 'status', status: 200, body: 'x'.repeat(length) } as const
    const stop = on.s3.fail({ op: 'GetObject', key: new RegExp(key!), nth: 1, fault })
    const report = await on.run({}, false)
    stop()
    expect(becauseOf(report, first!)).toBe('no rule keeps it')
  })

  test('costs a list no more for all the prunes that ever were, and few requests for what the last one deleted', async () => {
    const { home, bucket } = on.made
    const listing = async () => {
      const before = on.s3.requests.length
      const { backups, dumps } = await listHome(on.archive, home)
      const problems = [...backups, ...dumps].flatMap((one) => one.problems)
      return { requests: on.s3.requests.length - before, problems }
    }
    for (const days of [9, 8, 7]) {
      on.made.clock = () => ago(days)
      on.made.dump(ago(days).toISOString())
    }
    const none = await listing()
    const closing = { postbox_prune_closed: 1, manifests: ['base/20200101T000000Z-0000/manifest-0123456789ab.json'] }
    for (let n = 0; n < 500; n++) {
      const id = `20200101T000000Z-${n.toString(16).padStart(4, '0')}`
      const key = `.postbox/prune/${home.server}/${home.systemIdentifier}/${id}.closed.json`
      bucket.put(key, Buffer.from(JSON.stringify(closing)))
    }
    expect(await listing()).toEqual(none)

    const [first, second] = await on.restorable()
    await on.run({ backups: { ...LAST_2.backups, hold: [first!] } })
    const { requests, problems } = await listing()
    expect(await on.restorable()).not.toContain(second)
    expect(problems).toEqual([])
    expect(requests).toBeLessThan(none.requests + 20)
  })
})
