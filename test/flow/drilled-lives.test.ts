import type { S3Client } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openArchive } from '../../src/keyholder/archive.js'
import { fleetStatus } from '../../src/keyholder/fleet/fleet-status.js'
import { standardSettings } from '../../src/keyholder/fleet/status-settings.js'
import { KnownNews } from '../../src/keyholder/known-news.js'
import { createLog } from '../../src/log.js'
import { FleetServer } from '../sandbox/fleet-archive.js'
import { startS3, type LocalS3 } from '../sandbox/s3/server.js'
import { sdkClient } from '../sandbox/s3/test-grant.js'

const NOW = new Date('2026-11-22T12:00:00Z')

let s3: LocalS3
let client: S3Client
beforeAll(async () => {
  s3 = await startS3({ buckets: [{ name: 'b', versioned: true }] })
  client = sdkClient(s3)
})
afterAll(async () => {
  client.destroy()
  await s3.close()
})

test('status shows the drill of the life that goes on, though an earlier one was drilled later, and the issuer tells of it', async () => {
  const bucket = s3.bucket('b')
  const before = new FleetServer(bucket, 'upgraded', NOW, 30)
  const after = new FleetServer(bucket, 'upgraded', NOW, 5, 4, '7000000000000000002')
  const [old, newer] = [before.backUp(20), after.backUp(4)]
  before.wal(20, 10)
  after.wal(4)
  // As it was stored before names told the life.
  after.drill(3.5, newer, false)
  const [first] = bucket.keys('.postbox/drill/upgraded/')
  bucket.put(first!.replace('.7000000000000000002', ''), bucket.get(first!))
  bucket.remove(first!)
  after.drill(3, newer)
  before.drill(2, old)
  const report = await fleetStatus(openArchive(client, 'b'), {
    bucket: 'b',
    server: 'upgraded',
    known: { file: 'keyholder.yaml', servers: [] },
    settings: standardSettings,
    exact: false,
    jobs: 8,
    now: NOW,
  })
  expect(report.servers.map(({ current, last_drill }) => [current, last_drill?.backup_id, last_drill?.ok])).toEqual([
    [true, newer, true],
    [false, old, true],
  ])
  const known = await new KnownNews(openArchive(client, 'b'), createLog('silent')).of('upgraded')
  expect(known.drill?.backup_id).toBe(newer)
  expect(known.drills?.map(({ backup_id }) => backup_id)).toEqual([newer, old])
})
