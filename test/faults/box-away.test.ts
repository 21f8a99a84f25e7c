import { CreateBucketCommand } from '@aws-sdk/client-s3'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { request } from 'undici'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { freePort } from '../sandbox/ports.js'
import type { FaultRule } from '../sandbox/s3/faults.js'
import { makeGrant, sdkClient } from '../sandbox/s3/test-grant.js'
import { until } from '../sandbox/until.js'
import { disagreements } from './agreement.js'
import { checkBecomes, recordAllWal, slotPosition, writeSegments } from './observe.js'
import { showLogOfFailures } from './show-log.js'

const PART = /\/base\/[^/]+\/base\//

let backedUp: BackedUpServer
let port: number
let beganAt: number
const undoing: (() => void)[] = []

beforeAll(async () => {
  port = await freePort()
  beganAt = Date.now()
  backedUp = await BackedUpServer.start({
    initdb: ['--wal-segsize=1'],
    workerEnv: { POSTBOX_LISTEN: String(port) },
  })
  await backedUp.postgres.query("select backup.configure('part_bytes', '1MB')")
})

afterEach(() => {
  for (const undo of undoing.splice(0)) undo()
})

afterAll(async () => {
  await backedUp.remove()
})

showLogOfFailures(() => backedUp)

/** Makes requests fail, until the test has ended at the latest. */
function fail(rule: FaultRule): () => void {
  const undo = backedUp.s3.fail(rule)
  undoing.push(undo)
  return undo
}

describe('a box that is away', () => {
  test('leaves WAL in the slot, and gets all of it when it is back', async () => {
    await backedUp.backUp()
    await recordAllWal(backedUp)
    const undo = fail({ times: Infinity, fault: { kind: 'down' } })
    const from = backedUp.s3.requests.length
    const before = await slotPosition(backedUp)
    await writeSegments(backedUp, 5)
    const writtenAt = Date.now()
    await until('WAL was tried again', () => backedUp.s3.requests.length >= from + 10)
    expect(await slotPosition(backedUp)).toBe(before)
    expect(await checkBecomes(backedUp, 'box', 'crit')).toMatchObject({
      hint: expect.stringContaining('tries again') as string,
    })
    // The page calls nothing safe that is not, and knows afterwards how late it was.
    expect(safeUntil(await page())).toBeLessThanOrEqual(writtenAt)
    const awayMs = Date.now() - writtenAt
    undo()
    expect(await disagreements(backedUp)).toEqual([])
    await checkBecomes(backedUp, 'box', 'ok')
    await until('all is safe again', async () => safeUntil(await page()) > writtenAt + awayMs)
    const delay = longestDelay(await page())
    expect(delay).toBeGreaterThanOrEqual(Math.floor(awayMs / 1000))
    // What was on the server before the first worker was not late.
    expect(delay).toBeLessThan((Date.now() - beganAt) / 1000 + 1)
  })

  test('for a while is waited for by a base backup', async () => {
    const undo = fail({ key: PART, nth: 2, times: 3, fault: { kind: 'down' } })
    const jobId = await backedUp.backUp()
    undo()
    expect(await backedUp.job(jobId)).toMatchObject({ attempts: 1 })
  })
})

describe('a bucket that is missing', () => {
  test('is said, costs no WAL, and is used as soon as it is there', async () => {
    await recordAllWal(backedUp)
    const before = await slotPosition(backedUp)
    await install({ bucket: 'not-yet', expiresInSeconds: 13 * 3600 })
    await writeSegments(backedUp, 2)
    expect(await checkBecomes(backedUp, 'box', 'crit')).toMatchObject({
      hint: expect.stringContaining('Create the bucket') as string,
    })
    expect(await slotPosition(backedUp)).toBe(before)
    expect(await backedUp.ended(await backedUp.startBase())).toMatchObject({
      state: 'failed',
      error_code: 'box_missing',
    })
    await createBucket('not-yet')
    await recordAllWal(backedUp)
    await backedUp.backUp()
    await checkBecomes(backedUp, 'box', 'ok')
    expect(backedUp.s3.bucket('not-yet').keys('db1/')).not.toHaveLength(0)
    // Back to where the rest lies.
    await install({ expiresInSeconds: 14 * 3600 })
  })
})

const page = async () => (await (await request(`http://127.0.0.1:${port}/`)).body.text()).replace(/\s+/g, ' ')

const safeUntil = (text: string): number =>
  Date.parse(/<h2>Safe until<\/h2>.*?<time datetime="([^"]+)"/.exec(text)![1]!)

/** In seconds; the page says minutes where there are any. */
function longestDelay(text: string): number {
  const [, value, unit] = /Delay until stored over the last day: at most ([\d.]+) (s|min)/.exec(text)!
  return Number(value) * (unit === 's' ? 1 : 60)
}

async function install(choices: { bucket?: string; expiresInSeconds: number }): Promise<void> {
  const grant = await makeGrant(backedUp.s3, { server: 'db1', bucket: 'backups', ...choices })
  await backedUp.postgres.query('select backup.install_grant($1)', [grant])
}

async function createBucket(name: string): Promise<void> {
  const client = sdkClient(backedUp.s3)
  await client.send(new CreateBucketCommand({ Bucket: name }))
  client.destroy()
}
