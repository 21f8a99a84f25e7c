import { afterAll, beforeAll, expect, test } from 'vitest'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { disagreements } from './agreement.js'
import { checkBecomes, slotPosition, writeSegments } from './observe.js'
import { showLogOfFailures } from './show-log.js'

let backedUp: BackedUpServer

beforeAll(async () => {
  backedUp = await BackedUpServer.start({ initdb: ['--wal-segsize=1'], tls: true })
})

afterAll(async () => {
  await backedUp.remove()
})

showLogOfFailures(() => backedUp)

test('a box whose certificate is not trusted gets nothing, the hint says what to set, and then it gets all', async () => {
  await backedUp.backUp()
  await backedUp.worker.stop()
  const before = await slotPosition(backedUp)
  const stored = backedUp.bucket.keys()
  backedUp.startWorker({ POSTBOX_CA_FILE: '' })
  await writeSegments(backedUp, 2)
  expect((await checkBecomes(backedUp, 'box', 'crit')).hint).toContain('POSTBOX_CA_FILE')
  expect(await slotPosition(backedUp)).toBe(before)
  expect(backedUp.bucket.keys()).toEqual(stored)
  await backedUp.worker.stop()
  backedUp.startWorker()
  expect(await disagreements(backedUp)).toEqual([])
})
