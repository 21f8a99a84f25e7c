import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import type { Fault, FaultRule } from '../sandbox/s3/faults.js'
import { disagreements } from './agreement.js'
import { checkBecomes, writeSegments } from './observe.js'
import { showLogOfFailures } from './show-log.js'

const PART = /\/base\/[^/]+\/base\//
const WAL = /\/wal\//

let backedUp: BackedUpServer
const undoing: (() => void)[] = []

beforeAll(async () => {
  backedUp = await BackedUpServer.start({ initdb: ['--wal-segsize=1'] })
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

const faults: [string, Fault][] = [
  ['says SlowDown and when to come again', slowDown()],
  ['answers 500', { kind: 'status', status: 500 }],
  ['cuts the connection before it stores', { kind: 'cut', when: 'before-store' }],
  ['stores and loses the answer', { kind: 'cut', when: 'after-store' }],
  ['cuts the connection in the middle of the body', { kind: 'cut-body', afterBytes: 5000 }],
  ['answers 200 with an error and stores nothing', okWithError(false)],
  ['answers 200 with an error although it stored', okWithError(true)],
  ['answers 201 and names another key', { kind: 'answer', key: 'db1/another' }],
  ['answers 201 and names another bucket', { kind: 'answer', bucket: 'another' }],
  ['answers 201 with the ETag of other bytes', { kind: 'answer', etag: `"${'0'.repeat(32)}"` }],
  ['answers 204 and names nothing', { kind: 'answer', status: 204 }],
]

describe.each(faults)('a box that %s', (_, fault) => {
  test('gets every part of a base backup in the first attempt all the same', async () => {
    const undo = fail({ key: PART, nth: 2, times: 2, fault })
    const jobId = await backedUp.backUp()
    undo()
    expect(await backedUp.job(jobId)).toMatchObject({ attempts: 1, error_code: null })
    expect(backedUp.s3.requests.filter((request) => request.fault === fault.kind)).not.toHaveLength(0)
    expect(await disagreements(backedUp)).toEqual([])
  })

  test('gets WAL without a gap all the same', async () => {
    const undo = fail({ key: WAL, times: 2, fault })
    await writeSegments(backedUp, 3)
    expect(await disagreements(backedUp)).toEqual([])
    undo()
  })
})

test('a manifest whose answer is lost is stored twice with the same bytes, and the backup has one row', async () => {
  const undo = fail({ key: /\/manifest-/, fault: { kind: 'cut', when: 'after-store' } })
  const jobId = await backedUp.backUp()
  undo()
  const rows = await backedUp.postgres.query<{ manifest_key: string }>(
    'select manifest_key from backup.base_backups where job_id = $1',
    [jobId.toString()],
  )
  expect(rows).toHaveLength(1)
  expect(backedUp.bucket.versions(rows[0]!.manifest_key)).toHaveLength(2)
  expect(await disagreements(backedUp)).toEqual([])
})

test('a box that stays wrong fails the job with what it said, and no manifest names what is not there', async () => {
  const undo = fail({ key: PART, times: Infinity, fault: { kind: 'answer', key: 'db1/another' } })
  await backedUp.postgres.query("select backup.configure('job_max_attempts', '1')")
  const job = await backedUp.ended(await backedUp.startBase())
  undo()
  await backedUp.postgres.query("select backup.configure('job_max_attempts', null)")
  expect(job).toMatchObject({ state: 'failed', error_code: 'box_answer_wrong' })
  expect(await checkBecomes(backedUp, 'last_job', 'crit')).toMatchObject({
    message: expect.stringContaining('db1/another') as string,
  })
  expect(await disagreements(backedUp)).toEqual([])
})

function slowDown(): Fault {
  return {
    kind: 'status',
    status: 503,
    code: 'SlowDown',
    message: 'Please reduce your request rate.',
    headers: { 'Retry-After': '1' },
  }
}

function okWithError(stored: boolean): Fault {
  return { kind: 'ok-with-error', code: 'InternalError', message: 'We encountered an internal error.', stored }
}
