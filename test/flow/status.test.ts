import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { S3Client } from '@aws-sdk/client-s3'
import { openArchive } from '../../src/keyholder/archive.js'
import { fleetStatus, type FleetQuestion } from '../../src/keyholder/fleet/fleet-status.js'
import type { StatusLife, StatusReport } from '../../src/keyholder/fleet/status-report.js'
import { standardSettings } from '../../src/keyholder/fleet/status-settings.js'
import { startS3, type LocalS3 } from '../sandbox/s3/server.js'
import { sdkClient } from '../sandbox/s3/test-grant.js'
import { SyntheticArchive } from '../sandbox/synthetic-archive.js'

const MB = 1024 * 1024
const DAY = 86_400_000
const NOW = new Date('2026-11-22T12:00:00Z')
const ago = (days: number): Date => new Date(NOW.getTime() - days * DAY)
const megabyte = (at: number, offset = 0): string => {
  const lsn = BigInt(at) * BigInt(MB) + BigInt(offset)
  return `${(lsn >> 32n).toString(16).toUpperCase()}/${(lsn & 0xffffffffn).toString(16).toUpperCase()}`
}

let s3: LocalS3
let client: S3Client
beforeAll(async () => {
  s3 = await startS3({ buckets: ['fleet', 'few'].map((name) => ({ name, versioned: true })) })
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
    jobs: 4,
    now: NOW,
    ...more,
  })
  return { report, life: report.servers[0]!, requests: s3.requests.length - before }
}

/** A server that backed up so many days ago, at one megabyte each day, in segments of its own number. */
function backUp(made: SyntheticArchive, days: number, at: number, label?: string): void {
  made.clock = () => ago(days)
  const times = { startedAt: ago(days).toISOString(), stoppedAt: new Date(ago(days).getTime() + 60_000).toISOString() }
  made.backup({ ...times, start: megabyte(at, 40), stop: megabyte(at, 256), ...(label === undefined ? {} : { label }) })
}

describe('three hundred servers, one with a hundred thousand segments', () => {
  const SEGMENTS = 100_000
  beforeAll(() => {
    for (let n = 0; n < 299; n++) {
      const made = new SyntheticArchive(s3.bucket('fleet'), `db${String(n).padStart(3, '0')}`)
      backUp(made, 2, 16)
      made.names(1, megabyte(16), 3, 4000)
    }
    const big = new SyntheticArchive(s3.bucket('fleet'), 'zzz')
    backUp(big, 100, 16)
    backUp(big, 10, 16 + (SEGMENTS * 9) / 10)
    big.names(1, megabyte(16), SEGMENTS, 5000, (index) => ago(100 - (100 * index) / SEGMENTS))
  })

  test('are told of by requests that grow with servers and backups, and not with WAL', async () => {
    const { report, requests } = await status('fleet')
    console.log(requests, JSON.stringify(report.servers.at(-1), null, 1), report.totals)
    expect(report.totals.servers).toBe(300)
  })
})
beforeEach(() => undefined)
