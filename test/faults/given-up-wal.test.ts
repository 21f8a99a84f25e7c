import type { Client } from 'pg'
import { afterEach, expect, test } from 'vitest'
import { until } from '../sandbox/until.js'
import { gapsAndWindows } from './exact-windows.js'
import { GapWatch } from './gap-watch.js'
import { recordAllWal, writeSegments } from './observe.js'
import { showLogOfFailures } from './show-log.js'

let watch: GapWatch
let listener: Client | null = null

afterEach(async () => {
  await listener?.end()
  await watch.server.remove()
})

showLogOfFailures(() => watch.server)

test('WAL that was given up is not kept again while the server still has it', async () => {
  watch = await GapWatch.start()
  await watch.server.backUp()
  await watch.server.storeAllWal()
  // A base backup would begin with a checkpoint.
  await watch.server.postgres.query(`select backup.configure('base_after_gap', 'off')`)
  await watch.server.postgres.query(`select backup.configure('wal_keep_limit', '8MB')`)
  const heard: (string | undefined)[] = []
  listener = await watch.server.postgres.connect()
  listener.on('notification', ({ payload }) => heard.push(payload))
  await listener.query('listen postbox')
  const up = watch.server.s3.fail({
    op: 'PostObject',
    times: Infinity,
    fault: { kind: 'status', status: 403, code: 'AccessDenied', message: 'Access Denied' },
  })
  await writeSegments(watch.server, 20)
  await watch.server.postgres.query('checkpoint')
  const gap = await watch.firstGap(90_000)
  expect(gap.reason).toContain('kept more than wal_keep_limit')
  const isThere = () =>
    watch.one<boolean>(
      'select exists (select from pg_ls_waldir() where name = pg_walfile_name($1::pg_lsn + 1::numeric))',
      [gap.from_lsn],
    )
  expect(await isThere()).toBe(true)

  const count = (text: string) => watch.server.worker.log.split(text).length - 1
  const failed = count('WAL waits in the slot')
  await until('two sessions more have failed', async () => {
    const behind = await watch.one<boolean>(
      `select coalesce(bool_or(restart_lsn < $1), false) from pg_replication_slots where slot_name = 'postbox'`,
      [gap.to_lsn],
    )
    expect(behind).toBe(false)
    return count('WAL waits in the slot') >= failed + 2
  })
  expect(count('the slot is given up')).toBe(1)
  await watch.server.postgres.query('checkpoint')
  expect(await isThere()).toBe(false)
  expect(heard.filter((payload) => payload === 'gap')).toHaveLength(1)

  up()
  await watch.server.installGrant()
  await recordAllWal(watch.server)
  const { said, stored } = await gapsAndWindows(watch.server)
  expect(said).toEqual(stored)
  expect(await watch.gaps()).toEqual([gap])
})
