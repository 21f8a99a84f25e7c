import { afterAll, beforeAll, expect, test } from 'vitest'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { noSuchBucket } from '../sandbox/s3/errors.js'
import { until } from '../sandbox/until.js'
import { disagreements } from './agreement.js'
import { recordAllWal, writeSegments } from './observe.js'
import { showLogOfFailures } from './show-log.js'

const SEGMENT = /\/wal\//
/** More than the worker takes of it while the box takes nothing. */
const SEGMENTS = 40
/** What it takes on at once, 16 MB and 4 posts, and all that two sockets may hold. */
const TAKEN_BYTES = 32 * 1024 * 1024

let backedUp: BackedUpServer

beforeAll(async () => {
  backedUp = await BackedUpServer.start({ initdb: ['--wal-segsize=1'] })
  await recordAllWal(backedUp)
})

afterAll(async () => {
  await backedUp.remove()
})

showLogOfFailures(() => backedUp)

/** Lets the box keep segments waiting, and refuse them at last. */
function holdAndRefuse(): { refuse: () => void; undo: () => void } {
  const gate = Promise.withResolvers<never>()
  gate.promise.catch(() => undefined)
  const undo = backedUp.s3.fail({
    times: Infinity,
    key: SEGMENT,
    fault: { kind: 'hold', when: 'before-store', until: gate.promise },
  })
  return {
    refuse: () => {
      gate.reject(noSuchBucket('backups'))
    },
    undo,
  }
}

const failures = () => backedUp.worker.log.split('WAL waits in the slot').length - 1

/** Waits until a session has taken on as much as it may. */
async function sessionIsFull(): Promise<void> {
  await until('the worker takes on no more', async () => {
    const [row] = await backedUp.source.query<{ bytes: string }>(
      `select a.sent_lsn - s.restart_lsn as bytes from pg_stat_replication a
       join pg_replication_slots s on s.active_pid = a.pid where s.slot_name = 'postbox'`,
    )
    return Number(row?.bytes ?? 0) > TAKEN_BYTES
  })
}

test('a worker whose sessions failed while they were full holds nothing of them, and ends when it is asked to', async () => {
  let held = holdAndRefuse()
  await writeSegments(backedUp, SEGMENTS)
  for (let failed = 1; failed <= 2; failed++) {
    await sessionIsFull()
    const next = holdAndRefuse()
    held.undo()
    held.refuse()
    await until(`session ${failed} has failed`, () => failures() === failed)
    held = next
  }
  held.undo()
  held.refuse()
  expect(await disagreements(backedUp)).toEqual([])
  let code: number | null | undefined
  void backedUp.worker.stop().then((ended) => (code = ended))
  await until('the worker ends', () => code !== undefined)
  expect(code).toBe(0)
})
