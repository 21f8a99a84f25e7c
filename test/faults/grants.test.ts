import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { makeGrant, type GrantChoices } from '../sandbox/s3/test-grant.js'
import { until } from '../sandbox/until.js'
import { disagreements } from './agreement.js'
import { checkBecomes, checkOf, recordAllWal, slotPosition, writeSegments } from './observe.js'
import { showLogOfFailures } from './show-log.js'

let backedUp: BackedUpServer

beforeAll(async () => {
  backedUp = await BackedUpServer.start({ initdb: ['--wal-segsize=1'] })
})

afterAll(async () => {
  await backedUp.remove()
})

showLogOfFailures(() => backedUp)

/** Leaves the server with this grant alone, and the worker too. */
async function onlyGrant(choices: Partial<GrantChoices>): Promise<void> {
  await backedUp.worker.stop()
  await backedUp.postgres.query('delete from backup._grant')
  await install(choices)
  backedUp.startWorker()
  await backedUp.worker.says('streaming WAL')
}

async function install(choices: Partial<GrantChoices>): Promise<void> {
  const grant = await makeGrant(backedUp.s3, {
    server: 'db1',
    bucket: 'backups',
    expiresInSeconds: 12 * 3600,
    ...choices,
  })
  await backedUp.postgres.query('select backup.install_grant($1)', [grant])
}

async function ended(): Promise<void> {
  await until('the grant has ended', async () => {
    const [row] = await backedUp.postgres.query<{ ended: boolean }>(
      'select max(expires_at) < clock_timestamp() as ended from backup.grants',
    )
    return row!.ended
  })
}

describe('a grant that ends with none to follow', () => {
  beforeEach(async () => {
    await onlyGrant({ expiresInSeconds: 5 })
    await recordAllWal(backedUp)
    await ended()
  })

  test('leaves WAL in the slot and is said, and the next one is used without a restart', async () => {
    const before = await slotPosition(backedUp)
    await writeSegments(backedUp, 3)
    await backedUp.worker.says('"code":"grant_expired"')
    expect(await slotPosition(backedUp)).toBe(before)
    expect(await checkOf(backedUp, 'grant')).toMatchObject({
      state: 'crit',
      hint: expect.stringContaining('postbox grant --server db1') as string,
    })
    await checkBecomes(backedUp, 'box', 'crit')
    await install({})
    expect(await disagreements(backedUp)).toEqual([])
    for (const name of ['grant', 'box', 'worker']) expect(await checkBecomes(backedUp, name, 'ok')).toBeTruthy()
  })

  test('fails a base backup with what is to be done, and the next one is done', async () => {
    const job = await backedUp.ended(await backedUp.startBase())
    expect(job).toMatchObject({ state: 'failed', error_code: 'grant_expired', attempts: 1 })
    expect(job.error_hint).toMatch(/postbox grant/)
    await install({})
    await backedUp.backUp()
    expect(await disagreements(backedUp)).toEqual([])
  })

  test('does not make the check of the worker come and go while it is tried again', async () => {
    await writeSegments(backedUp, 1)
    await checkBecomes(backedUp, 'worker', 'crit')
    const [row] = await backedUp.postgres.query<{ since: string }>(
      "select problems -> 'wal' ->> 'since' since from backup._worker",
    )
    const tries = () => backedUp.worker.log.split('WAL waits in the slot').length
    const from = tries()
    await until('it was tried again twice', () => tries() >= from + 2)
    const [now] = await backedUp.postgres.query<{ since: string }>(
      "select problems -> 'wal' ->> 'since' since from backup._worker",
    )
    expect(now).toEqual(row)
    await install({})
    await checkBecomes(backedUp, 'worker', 'ok')
  })

  test('keeps a worker that is started then waiting for one', async () => {
    await backedUp.worker.kill9()
    backedUp.startWorker()
    await backedUp.worker.says('"code":"grant_missing"')
    await writeSegments(backedUp, 2)
    await install({})
    expect(await disagreements(backedUp)).toEqual([])
  })
})

describe('a grant that cannot be used', () => {
  test('for another server is refused, and the one in use stays', async () => {
    await onlyGrant({})
    await expect(install({ server: 'db2' })).rejects.toMatchObject({ code: 'PB005' })
    expect(await backedUp.postgres.query('select server, in_use from backup.grants')).toEqual([
      { server: 'db1', in_use: true },
    ])
    await backedUp.backUp()
  })

  test('whose signature is wrong is said by the box, and a right one heals it', async () => {
    const grant = await makeGrant(backedUp.s3, { server: 'db1', bucket: 'backups', expiresInSeconds: 13 * 3600 })
    const fields = { ...grant.fields, 'x-amz-signature': '0'.repeat(64) }
    await backedUp.postgres.query('select backup.install_grant($1)', [{ ...grant, fields }])
    const job = await backedUp.ended(await backedUp.startBase())
    expect(job).toMatchObject({ state: 'failed', error_code: 'box_refused' })
    await checkBecomes(backedUp, 'box', 'crit')
    await install({ expiresInSeconds: 14 * 3600 })
    await backedUp.backUp()
    expect(await disagreements(backedUp)).toEqual([])
    await checkBecomes(backedUp, 'box', 'ok')
  })
})

describe('a box whose clock is 20 minutes ahead', () => {
  test('and looks at the age of a form says so, and takes a grant that is signed by its own clock', async () => {
    await onlyGrant({})
    backedUp.s3.shiftClock(20)
    backedUp.s3.limitFormAge(15 * 60_000)
    const job = await backedUp.ended(await backedUp.startBase())
    expect(job).toMatchObject({ state: 'failed', error_code: 'clock_skew' })
    expect(job.error_hint).toContain("The box's clock is 20 min ahead of this server's.")
    expect(await checkBecomes(backedUp, 'box', 'crit')).toMatchObject({
      hint: expect.stringContaining('NTP') as string,
    })
    await install({ clockMinutes: 20, expiresInSeconds: 13 * 3600 })
    await backedUp.backUp()
    backedUp.s3.limitFormAge(null)
    backedUp.s3.shiftClock(0)
    expect(await disagreements(backedUp)).toEqual([])
  })

  test('ends a short grant early, and the clocks are named and not the grant alone', async () => {
    await onlyGrant({ expiresInSeconds: 600 })
    backedUp.s3.shiftClock(20)
    const job = await backedUp.ended(await backedUp.startBase())
    backedUp.s3.shiftClock(0)
    expect(job).toMatchObject({ state: 'failed', error_code: 'clock_skew' })
    expect(job.error_hint).toContain('20 min ahead')
  })
})
