import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { S3Client } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openArchive } from '../../src/keyholder/archive.js'
import { listHomeByEnds } from '../../src/keyholder/fleet/list-by-ends.js'
import { listHome, type ListedHome } from '../../src/keyholder/list-server.js'
import { systemIdentifiers } from '../../src/keyholder/stored-backups.js'
import { fleetStatus, type FleetQuestion } from '../../src/keyholder/fleet/fleet-status.js'
import type { StatusLife, StatusReport } from '../../src/keyholder/fleet/status-report.js'
import { standardSettings } from '../../src/keyholder/fleet/status-settings.js'
import { storeVerify, verifyResult } from '../../src/keyholder/verify/stored-verify.js'
import { verifyHome } from '../../src/keyholder/verify/verify-home.js'
import { keyholderEnv, postbox } from '../sandbox/command.js'
import { fillFleet, FleetServer, megabyte } from '../sandbox/fleet-archive.js'
import { startS3, type LocalS3 } from '../sandbox/s3/server.js'
import { sdkClient } from '../sandbox/s3/test-grant.js'

const NOW = new Date('2026-11-22T12:00:00Z')

let s3: LocalS3
let client: S3Client
beforeAll(async () => {
  s3 = await startS3({ buckets: ['many', 'states', 'details', 'today'].map((name) => ({ name, versioned: true })) })
  client = sdkClient(s3)
})
afterAll(async () => {
  client.destroy()
  await s3.close()
})

/** What is asked of a bucket, and the requests that it took. */
async function status(
  bucket: string,
  more: Partial<FleetQuestion> = {},
): Promise<{ report: StatusReport; life: StatusLife; requests: number }> {
  const before = s3.requests.length
  const report = await fleetStatus(openArchive(client, bucket), {
    bucket,
    server: null,
    known: { file: 'keyholder.yaml', servers: [] },
    settings: standardSettings,
    exact: false,
    jobs: 8,
    now: NOW,
    ...more,
  })
  return { report, life: report.servers[0]!, requests: s3.requests.length - before }
}

const names = ({ warnings }: StatusLife): string[] => warnings.map(({ name }) => name)

describe('three hundred servers, one with a hundred thousand segments and five thousand tails', () => {
  beforeAll(() => {
    for (let n = 0; n < 299; n++) {
      const one = new FleetServer(s3.bucket('many'), `db${String(n).padStart(3, '0')}`, NOW, 3)
      one.backUp(2)
      one.wal(2)
    }
    const large = new FleetServer(s3.bucket('many'), 'large', NOW, 100, 1000)
    for (const days of [100, 10, 3]) large.backUp(days)
    large.made.names(1, megabyte(16), 100_000, 5000, (index) => large.ago(100 - (index + 1) / 1000))
    large.made.clock = () => NOW
    large.made.tailNames(1, megabyte(100_016), 5000)
  })

  test('are listed by requests that do not grow with WAL, and as by all its names', async () => {
    const archive = openArchive(client, 'many')
    const look = async (server: string) => {
      const [systemIdentifier] = await systemIdentifiers(archive, server)
      const home = { server, systemIdentifier: systemIdentifier! }
      const before = s3.requests.length
      const byEnds = await listHomeByEnds(archive, home)
      return { byEnds, requests: s3.requests.length - before, exact: await listHome(archive, home) }
    }
    // Its WAL is names alone, so that what is in it, its last commit and what its tails hold, is not compared.
    const positions = ({ backups, timelines, wal_gaps }: ListedHome) => ({
      backups: backups.map(({ window, ...one }) => [{ ...one, problems: [] }, window?.from_lsn, window?.timeline]),
      timelines,
      wal_gaps,
    })
    const large = await look('large')
    expect(large.requests).toBeLessThan(70)
    expect(large.byEnds.wal_seen).toBe('ends')
    expect(positions(large.byEnds)).toEqual(positions(large.exact))
    const small = await look('db007')
    expect(small.byEnds.wal_seen).toBe('listed')
    expect(positions(small.byEnds)).toEqual(positions(small.exact))
  })

  test('are told of by requests that grow with servers and backups, and not with WAL', async () => {
    const { report, requests } = await status('many')
    const large = await status('many', { server: 'large' })
    // For a small one: 4 for folders, 2 for its backup, 1 for dumps, 1 for segments, 1 for tails.
    expect(requests - large.requests).toBeLessThanOrEqual(299 * 9 + 5)
    expect(large.requests).toBeLessThan(70)
    expect(report.totals.servers).toBe(300)
    expect(large.life).toMatchObject({
      window: { from_lsn: megabyte(16, 256), to_lsn: megabyte(100_016, 5000 * 64), checked: 'no' },
      quiet_since: NOW.toISOString(),
      behind_at_most_seconds: 0,
    })
    const { wal_bytes, growth_bytes_per_day: growth, exact } = large.life.size
    expect(exact).toBe(false)
    expect(Math.abs(wal_bytes / (100_000 * 5000 + 5000 * 20) - 1)).toBeLessThan(0.01)
    // A thousand segments each day, and now and then a base backup.
    expect(growth! / (1000 * 5000)).toBeGreaterThan(0.99)
  })
})

describe('each server', () => {
  let report: StatusReport
  beforeAll(async () => {
    fillFleet(s3.bucket('states'), NOW)
    report = (await status('states', { known: { file: 'keyholder.yaml', servers: ['shop-prod', 'payments'] } })).report
  })
  const life = (server: string, index = 0): StatusLife => report.servers.filter((one) => one.server === server)[index]!

  test.each<[string, string, string[]]>([
    ['shop-prod', 'ok', []],
    ['billing', 'warn', ['window_broken']],
    ['crm', 'crit', ['window_closed', 'drill_none']],
    ['intranet', 'crit', ['base_age', 'quiet', 'drill_failed']],
    ['payments', 'crit', ['nothing_stored']],
    ['reports', 'ok', []],
    ['stock', 'ok', []],
    ['warehouse', 'warn', ['drill_none', 'verify_none']],
    ['young', 'crit', ['no_base', 'drill_none']],
  ])('%s is %s', (server, level, warnings) => {
    expect([life(server).level, names(life(server))]).toEqual([level, warnings])
  })

  test('counts as the worst of all, and once in the totals', () => {
    expect(report.level).toBe('crit')
    expect(report.totals).toMatchObject({ servers: 9, crit: 4, warn: 2 })
  })

  test('has a row for each of its lives, and nothing is asked of those that are over', () => {
    expect(life('reports')).toMatchObject({ current: true, system_identifier: '7000000000000000002' })
    expect(life('reports', 1)).toMatchObject({ current: false, level: 'ok', warnings: [] })
  })

  test('has windows that end where WAL is missing, and go on through a promotion', () => {
    const windows = life('billing').windows
    expect(windows.map(({ from_at, to_at }) => [from_at.slice(0, 10), to_at.slice(0, 10)])).toEqual([
      ['2026-11-03', '2026-11-10'],
      ['2026-11-13', '2026-11-22'],
    ])
    expect(life('stock').window).toMatchObject({ timeline: 2, from_at: '2026-11-07T12:30:00.000Z', checked: 'listed' })
    expect(life('crm').windows).toHaveLength(1)
  })

  test('has an exact answer too, which says the same', async () => {
    const { life: shop } = await status('states', { server: 'shop-prod', exact: true })
    const { size, window } = life('shop-prod')
    expect(shop.size).toMatchObject({
      exact: true,
      base_bytes: expect.any(Number) as number,
      wal_bytes: size.wal_bytes,
    })
    expect(shop.window).toMatchObject({ from_lsn: window!.from_lsn, to_lsn: window!.to_lsn, checked: 'listed' })
  })
})

describe('one server', () => {
  test('is as far as its tails go on, by when they were stored first', async () => {
    const one = new FleetServer(s3.bucket('details'), 'tails', NOW, 3)
    one.backUp(2)
    one.wal(2, 1)
    one.made.clock = () => one.ago(0.5)
    const [, last] = one.made.tails(1, megabyte(one.at(1)), [8192, 16_384])
    one.made
      .tails(1, megabyte(one.at(1)), [65_536, 131_072])
      .slice(0, 1)
      .forEach((key) => one.bucket.remove(key))
    // Whoever has a grant can store over it, and must not look alive by that.
    one.bucket.put(last!, Buffer.from('x'), { storedAt: NOW })
    const { life } = await status('details', { server: 'tails' })
    expect(life.window!.to_lsn).toBe(megabyte(one.at(1), 16_384))
    expect(life.behind_at_most_seconds).toBe(43_200)
  })

  test('has the gaps in a long row of WAL that verify has found, and what came later is not looked through', async () => {
    const one = new FleetServer(s3.bucket('details'), 'long', NOW, 20, 200)
    for (const days of [19, 12, 6]) one.backUp(days)
    one.wal(19, 14)
    one.wal(12.5, 2)
    const before = (await status('details', { server: 'long' })).life
    expect(before.windows.map(({ checked }) => checked)).toEqual(['no'])

    const archive = openArchive(client, 'details')
    const found = await verifyHome(archive, one.made.home, { only: null }, () => Promise.resolve())
    await storeVerify(client, 'details', verifyResult(found, false, one.ago(2)))
    one.wal(2)
    const { life } = await status('details', { server: 'long' })
    expect(life.windows.map(({ from_lsn, to_lsn }) => [from_lsn, to_lsn])).toEqual([
      [megabyte(one.at(19), 256), megabyte(one.at(14))],
      [megabyte(one.at(12), 256), megabyte(one.at(0))],
    ])
    expect(life.window).toMatchObject({ checked: 'verified', checked_to_at: one.ago(2).toISOString() })
    expect(life.last_verify).toMatchObject({ ok: true, deep: false, age_seconds: 2 * 86_400 })
    expect(names(life)).toEqual(['window_broken', 'drill_none'])
    const settings = { ...standardSettings, verifyMaxAgeSeconds: 86_400 }
    const { life: strict } = await status('details', { server: 'long', settings })
    expect(names(strict)).toContain('verify_age')
  })

  test('is said to have WAL in two ways where two servers wrote it, or one does not follow the other', async () => {
    const [twice, unlike] = ['twice', 'unlike'].map((name) => new FleetServer(s3.bucket('details'), name, NOW, 3))
    for (const one of [twice!, unlike!]) {
      one.backUp(2)
      one.wal(2, 0.5)
    }
    twice!.made.segment(1, megabyte(twice!.at(1.5)))
    unlike!.made.segment(1, megabyte(unlike!.at(0.5)), [], { previous: 'abcdefabcdef' })
    for (const { name } of [twice!, unlike!]) {
      const { life } = await status('details', { server: name })
      expect(names(life)).toContain('parted')
      expect(life.window).toMatchObject({ checked: 'no' })
    }
  })

  test('is critical when verify found something lost', async () => {
    const one = new FleetServer(s3.bucket('details'), 'lost', NOW, 3)
    one.backUp(2)
    one.wal(2)
    one.bucket.remove(one.bucket.keys('lost/').find((key) => key.endsWith('.tar.zst'))!)
    const found = await verifyHome(openArchive(client, 'details'), one.made.home, { only: null }, () =>
      Promise.resolve(),
    )
    await storeVerify(client, 'details', verifyResult(found, true, NOW))
    const { life } = await status('details', { server: 'lost' })
    expect(names(life)).toEqual(['drill_none', 'verify_failed'])
    expect(life).toMatchObject({ level: 'crit', last_verify: { ok: false } })
  })

  test('costs what is said of prices', async () => {
    const settings = { ...standardSettings, priceGbMonth: 1024, priceThousandRequests: 0, currency: 'EUR' }
    const { report, life } = await status('details', { server: 'lost', settings })
    expect(report.currency).toBe('EUR')
    expect(life.size.cost_per_month).toBeCloseTo(life.size.bytes / 1024 ** 2, 3)
  })
})

describe('postbox status', () => {
  let directory: string
  beforeAll(async () => {
    fillFleet(s3.bucket('today'), new Date())
    directory = await mkdtemp(join(tmpdir(), 'postbox-status-'))
  })
  afterAll(() => rm(directory, { recursive: true, force: true }))

  const run = (args: readonly string[], env: Record<string, string> = {}) =>
    postbox(['status', ...args], { ...keyholderEnv(s3, 'today'), ...env })

  test('prints one table, writes the page, and ends with 4 when something is critical', async () => {
    const file = join(directory, 'status.html')
    const { code, stdout, stderr } = await run(['--html', file])
    expect([code, stderr]).toEqual([4, ''])
    expect(stdout).toMatch(/^ {2}OK +shop-prod +14 h 2\d min ago +30 min /m)
    expect(stdout).toContain('CRIT crm: no window reaches to the newest WAL')
    expect(stdout).not.toContain('\u0007')
    expect(await readFile(file, 'utf8')).toMatch(/^<!doctype html>[^]*<\/html>\s*$/)
  })

  test('tells one server apart, as JSON, with what keyholder.yaml says: 0 when all is well, 3 for a warning', async () => {
    const well = await run(['--server', 'shop-prod', '--json'])
    expect(well.code).toBe(0)
    expect(JSON.parse(well.stdout)).toMatchObject({ level: 'ok', servers: [{ server: 'shop-prod' }] })
    const file = join(directory, 'keyholder.yaml')
    await writeFile(file, 'servers: {}\nstatus: { drill_max_age: 2d }\n')
    const warned = await run(['--server', 'shop-prod', '--json'], { POSTBOX_KEYHOLDER_FILE: file })
    expect(warned.code).toBe(3)
    expect(JSON.parse(warned.stdout)).toMatchObject({ servers: [{ warnings: [{ name: 'drill_age' }] }] })
  })

  test('ends with 1 and a hint for a server that has nothing in the bucket', async () => {
    const { code, stderr } = await run(['--server', 'nobody'])
    expect(code).toBe(1)
    expect(stderr).toContain('nothing is stored for server nobody (backup_missing)')
  })
})
