import type { S3Client } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openArchive, type Archive } from '../../src/keyholder/archive.js'
import { listHomeByEnds } from '../../src/keyholder/fleet/list-by-ends.js'
import { listHome, type ListedHome } from '../../src/keyholder/list-server.js'
import { storeVerify, verifyResult } from '../../src/keyholder/verify/stored-verify.js'
import { verifyHome } from '../../src/keyholder/verify/verify-home.js'
import { keyholderEnv, postbox } from '../sandbox/command.js'
import { FleetServer, megabyte } from '../sandbox/fleet-archive.js'
import { startS3, type LocalS3 } from '../sandbox/s3/server.js'
import { sdkClient } from '../sandbox/s3/test-grant.js'

const NOW = new Date('2026-11-22T12:00:00Z')

let s3: LocalS3
let client: S3Client
let archive: Archive
beforeAll(async () => {
  s3 = await startS3({ buckets: ['b', 'command'].map((name) => ({ name, versioned: true })) })
  client = sdkClient(s3)
  archive = openArchive(client, 'b')
})
afterAll(async () => {
  client.destroy()
  await s3.close()
})

/** A server with three base backups and WAL for twenty days of so many segments, up to `until` days ago. */
function server(name: string, perDay: number, bucket = 'b'): FleetServer {
  const one = new FleetServer(s3.bucket(bucket), name, NOW, 20, perDay)
  for (const days of [19, 12, 6]) one.backUp(days)
  return one
}

async function byEnds({ made: { home } }: FleetServer): Promise<{ listed: ListedHome; requests: number }> {
  const before = s3.requests.length
  const listed = await listHomeByEnds(archive, home)
  return { listed, requests: s3.requests.length - before }
}

async function verifyAndStore({ made: { home } }: FleetServer, bucket: string, at: Date): Promise<void> {
  const found = await verifyHome(openArchive(client, bucket), home, { only: null }, () => Promise.resolve())
  await storeVerify(client, bucket, verifyResult(found, false, at))
}

/** All but what only the WAL itself tells: here it is names alone. */
function positions({ backups, wal_gaps, timelines, partings, problems }: ListedHome) {
  const windows = backups.map(({ backup_id, state, window }) => {
    return [backup_id, state, window?.from_at, window?.from_lsn, window?.to_lsn, window?.timeline]
  })
  const ofNames = problems.filter((one) => !one.startsWith('recovery cannot go through '))
  return { windows, wal_gaps, timelines, partings, problems: ofNames }
}

describe('requests of a list by ends', () => {
  test('do not grow with segments', async () => {
    const counts: number[] = []
    for (const perDay of [150, 2000]) {
      const one = server(`long${perDay}`, perDay)
      one.wal(19)
      counts.push((await byEnds(one)).requests)
    }
    // 2 for manifests of each backup, and to find the end of thirteen times as much a few more steps, each doubled.
    expect(counts[0]).toBeLessThan(25)
    expect(counts[1]! - counts[0]!).toBeLessThan(15)
  })

  test('do not grow with segments without a commit, which are few enough to be listed by all their names', async () => {
    const counts: number[] = []
    for (const count of [20, 200]) {
      const one = new FleetServer(s3.bucket('b'), `idle${count}`, NOW, 20, count)
      one.backUp(19)
      one.made.clock = () => one.ago(3)
      one.made.segments(1, megabyte(one.at(19)), megabyte(one.at(19) + count))
      const { listed, requests } = await byEnds(one)
      counts.push(requests)
      expect(listed).toMatchObject({ wal_seen: 'listed', exact: false })
      const window = { to_at: '2026-11-19T12:00:00.000000Z', exact: false, checked: 'listed' }
      expect(listed.backups[0]!.window).toMatchObject(window)
      expect(positions(listed)).toEqual(positions(await listHome(archive, one.made.home)))
    }
    expect(counts[1]).toBe(counts[0])
  })

  test('do not grow with tails', async () => {
    const counts: number[] = []
    for (const count of [100, 5000]) {
      const one = server(`tails${count}`, 4)
      one.wal(19)
      one.made.clock = () => one.ago(1)
      one.made.tailNames(1, megabyte(one.at(0)), count)
      const { listed, requests } = await byEnds(one)
      counts.push(requests)
      const to_lsn = megabyte(one.at(0), 64 * count)
      expect(listed.backups[0]!.window).toMatchObject({ to_lsn, to_at: '2026-11-21T12:00:00.000000Z', exact: false })
    }
    expect(counts[1]! - counts[0]!).toBeLessThan(15)
  })
})

describe('a list by ends says the same as one of all names', () => {
  test.each<[string, (one: FleetServer) => void]>([
    ['without a gap', (one) => one.wal(19)],
    ['with a gap at the oldest backup', (one) => (one.wal(19, 18.9), one.wal(18.5))],
    ['with a gap behind the newest backup', (one) => (one.wal(19, 0.5), one.wal(0.3))],
    ['with a gap in front of its last segments', (one) => (one.wal(19, 4.5), one.wal(4.4))],
    ['with a gap where the first thousand names end', (one) => (one.wal(19, 14.0), one.wal(13.9, 10))],
    ['with a gap at both', (one) => (one.wal(19, 18.9), one.wal(18.5, 0.5), one.wal(0.3))],
    ['with a gap before the oldest backup', (one) => (one.wal(20, 19.8), one.wal(19.2))],
    ['without the WAL of the oldest backup', (one) => one.wal(18)],
    ['with a gap at an end that tails close', (one) => (one.wal(19, 0.5), close(one, 0.5), one.wal(0.495))],
    ['that went on by a promotion', (one) => (one.wal(19, 1), promote(one, 2, [[1, one.at(1)]]))],
    [
      'that was promoted through a timeline without WAL',
      (one) => (
        one.wal(19, 1),
        promote(one, 3, [
          [1, one.at(1)],
          [2, one.at(1)],
        ])
      ),
    ],
    ['rewound below its oldest backup with a gap since', (one) => (one.wal(19), rewind(one))],
    ['with a timeline whose history is not there', (one) => (one.wal(19, 1), one.wal(1, 0, 2))],
  ])('of an archive %s', async (name, fill) => {
    const one = server(name.replaceAll(' ', '-'), 200)
    fill(one)
    const { listed } = await byEnds(one)
    expect(listed.exact).toBe(false)
    expect(positions(listed)).toEqual(positions(await listHome(archive, one.made.home)))
    expect(listed.wal_gaps.length > 0).toBe(/a gap (?!before)/.test(name) && !name.includes('tails close'))
  })

  const close = (one: FleetServer, days: number) => one.made.tails(1, megabyte(one.at(days)), [8192, 1024 * 1024])

  function rewind(one: FleetServer): void {
    one.made.history(2, [[1, megabyte(one.at(19.9), 64)]])
    const [startedAt, stoppedAt] = [one.ago(0.9).toISOString(), one.ago(0.8).toISOString()]
    const [start, stop] = [megabyte(one.at(19.8), 40), megabyte(one.at(19.8), 256)]
    one.made.backup({ startedAt, stoppedAt, start, stop, timeline: 2 })
    one.wal(19.9, 19.6, 2)
    one.wal(19.4, 19.2, 2)
  }

  function promote(one: FleetServer, timeline: number, from: [number, number][]): void {
    one.made.history(
      timeline,
      from.map(([parent, at]) => [parent, megabyte(at, 64 * parent)]),
    )
    one.wal(1, 0, timeline)
  }
})

describe('a gap in the middle of much WAL', () => {
  test('is known from a verify that was stored, and what came later is not vouched for', async () => {
    const one = server('middle', 400)
    one.wal(19, 14)
    one.wal(12.5, 3)
    const { listed: before } = await byEnds(one)
    expect(before).toMatchObject({ wal_seen: 'ends', wal_verified_at: null, wal_gaps: [] })
    expect(before.backups.map(({ window }) => window!.checked)).toEqual(['no', 'no', 'no'])

    const verifiedAt = one.ago(2).toISOString()
    await verifyAndStore(one, 'b', one.ago(2))
    const { listed: verified } = await byEnds(one)
    expect(positions(verified)).toEqual(positions(await listHome(archive, one.made.home)))
    expect(verified).toMatchObject({ wal_seen: 'verified', wal_verified_at: verifiedAt })
    expect(verified.backups[0]!.window).toMatchObject({ checked: 'verified', checked_to_at: null })

    // Behind the verified WAL, and too far from the end to be seen.
    one.wal(2)
    const { listed: later } = await byEnds(one)
    expect(later.backups.map(({ window }) => window!.checked_to_at)).toEqual([verifiedAt, verifiedAt, null])
  })
})

describe('postbox list of all servers', () => {
  beforeAll(async () => {
    const long = server('long', 200, 'command')
    long.wal(19)
    const verified = server('verified', 200, 'command')
    verified.wal(19, 3)
    await verifyAndStore(verified, 'command', verified.ago(3))
    verified.wal(3)
    // Failed over thirty times, and lost WAL in seven places.
    const old = new FleetServer(s3.bucket('command'), 'old', NOW, 20, 4)
    old.backUp(19)
    old.wal(19, 15)
    for (let at = 15; at > 11; at -= 0.5) old.wal(at, at - 0.25)
    for (let timeline = 2; timeline <= 31; timeline++) {
      old.made.history(timeline, [[timeline - 1, megabyte(old.at(11))]])
      old.made.names(timeline, megabyte(old.at(11)), 1)
    }
  })

  const list = async (...args: string[]) => (await postbox(['list', ...args], keyholderEnv(s3, 'command'))).stdout
  const linesOf = (text: string, what: RegExp) => text.split('\n').filter((line) => what.test(line)).length

  test('says where gaps were not looked for, and marks ends that were not read', async () => {
    const text = await list()
    expect(text).toMatch(/2026-11-16T12:30:00Z +~2026-11-22T12:00:00\.000000Z/)
    expect(text).toContain('gaps in its WAL were not looked for: postbox list --server long')
    expect(text).toContain(
      'gaps in its WAL were last looked for at 2026-11-19T12:00:00Z, and not in what was stored since: postbox list --server verified',
    )
  })

  test('leaves old timelines and gaps to the list of one server', async () => {
    const text = await list()
    expect(text).toContain('28 timelines before these: postbox list --server old')
    expect(text).toContain('timeline 31 (0x1F): left 30 at')
    expect([linesOf(text, /^ {2}timeline /), linesOf(text, /^ {2}gap: /)]).toEqual([3, 5])
    const whole = await list('--server', 'old')
    expect([linesOf(whole, /^ {2}timeline /), linesOf(whole, /^ {2}gap: /)]).toEqual([31, 7])
    const { servers } = JSON.parse(await list('--json')) as { servers: ListedHome[] }
    expect(servers.find((one) => one.server === 'old')!.timelines).toHaveLength(31)
  })

  test('reads every name with --exact, as for one server', async () => {
    const { servers } = JSON.parse(await list('--exact', '--json')) as { servers: ListedHome[] }
    expect(servers.map(({ wal_seen, exact }) => [wal_seen, exact])).toEqual(Array(3).fill(['listed', true]))
    expect(await list('--exact')).not.toMatch(/~2026|looked for/)
  })
})
