import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { until } from '../sandbox/until.js'
import { disagreements } from './agreement.js'
import { hold } from './hold.js'
import { writeNoise, writeSegments } from './observe.js'
import { showLogOfFailures } from './show-log.js'

const PART = /\/base\/[^/]+\/base\//

let backedUp: BackedUpServer

beforeAll(async () => {
  backedUp = await BackedUpServer.start({ initdb: ['--wal-segsize=1'] })
  await configure('part_bytes', '1MB')
  await writeNoise(backedUp, 20)
})

afterEach(async () => {
  await configure('upload_rate_limit', null)
})

afterAll(async () => {
  await backedUp.remove()
})

showLogOfFailures(() => backedUp)

const configure = (setting: string, value: string | null) =>
  backedUp.postgres.query('select backup.configure($1, $2)', [setting, value])

const storedParts = () => backedUp.bucket.keys().filter((key) => PART.test(key)).length

/** WAL is stored, several times over, and the job is still at it. */
async function walFlowsMeanwhile(jobId: bigint): Promise<void> {
  for (let n = 0; n < 5; n++) {
    await writeSegments(backedUp, 1)
    await backedUp.storeAllWal()
  }
  expect(await backedUp.job(jobId)).toMatchObject({ state: 'running' })
}

test('a low limit keeps a backup from ending while WAL flows, and raising it lets it end', async () => {
  // More than an hour's worth.
  await configure('upload_rate_limit', '4kB')
  const jobId = await backedUp.startBase()
  await until('it copies', async () => (await backedUp.job(jobId)).phase === 'copying')
  await walFlowsMeanwhile(jobId)
  expect(storedParts()).toBe(0)
  await configure('upload_rate_limit', '0')
  expect(await backedUp.ended(jobId)).toMatchObject({ state: 'done', attempts: 1 })
  expect(await disagreements(backedUp)).toEqual([])
})

test('a limit that is set while a backup runs slows it down', async () => {
  const held = hold(backedUp.s3, 'before-store', { key: PART })
  const jobId = await backedUp.startBase()
  await held.reached()
  const before = storedParts()
  await configure('upload_rate_limit', '4kB')
  await walFlowsMeanwhile(jobId)
  // What had left the worker before is stored; what had not waits.
  held.release()
  await walFlowsMeanwhile(jobId)
  const slowed = storedParts() - before
  await configure('upload_rate_limit', '100MB')
  expect(await backedUp.ended(jobId)).toMatchObject({ state: 'done', attempts: 1 })
  expect(slowed).toBeLessThan((storedParts() - before) / 2)
  expect(await disagreements(backedUp)).toEqual([])
})

test('a backup that crawls can be canceled', async () => {
  await configure('upload_rate_limit', '4kB')
  const jobId = await backedUp.startBase()
  await until('it copies', async () => (await backedUp.job(jobId)).phase === 'copying')
  await backedUp.postgres.query('select backup.cancel($1)', [jobId.toString()])
  await until('it is canceled', async () => (await backedUp.job(jobId)).state === 'canceled', 5000)
})
