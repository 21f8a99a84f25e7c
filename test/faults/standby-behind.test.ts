import { afterAll, beforeAll, expect, test } from 'vitest'
import { Restores } from '../sandbox/restored.js'
import { caughtUp } from '../sandbox/standby.js'
import { until } from '../sandbox/until.js'
import { disagreements, storedManifests } from './agreement.js'
import { recordAllWal } from './observe.js'
import { showLogOfFailures } from './show-log.js'
import { StandbyPair } from './standby-pair.js'

let pair: StandbyPair
let restores: Restores

beforeAll(async () => {
  pair = await StandbyPair.start()
  restores = new Restores(pair.server.s3, 'backups')
  await pair.workFromStandby()
})
afterAll(async () => {
  await restores.remove()
  await pair.remove()
})
showLogOfFailures(() => pair.server)

async function clock(): Promise<Date> {
  const [row] = await pair.primary.query<{ at: Date }>('select clock_timestamp() as at')
  return row!.at
}

// As recovery_min_apply_delay does: all WAL comes, and is replayed later.
test('a backup of a standby that is behind goes back to where the standby stood, and no further', async () => {
  await pair.primary.query('create table marked (label text)')
  await pair.primary.query("insert into marked values ('in the backup')")
  const before = await clock()
  await caughtUp(pair.standby, pair.primary)
  await pair.standby.query('select pg_wal_replay_pause()')
  await recordAllWal(pair.server)
  const behind = await clock()
  await pair.primary.query("insert into marked values ('later')")
  const later = await clock()
  await pair.primary.query("insert into marked values ('last')")
  await recordAllWal(pair.server)
  // An id tells the second in which a backup was begun.
  await until('a second is over', async () => Math.floor(Number(await clock()) / 1000) > Math.floor(+later / 1000))
  await pair.server.backUp()

  const { started_at, stopped_at } = storedManifests(pair.server)[0]!
  expect(new Date(stopped_at) >= before).toBe(true)
  expect(new Date(stopped_at) <= behind).toBe(true)
  expect(stopped_at < started_at).toBe(true)
  expect(await pair.primary.query('select from_at from backup.recovery_windows')).toEqual([
    { from_at: new Date(stopped_at) },
  ])

  const server = await restores.recover(['--target', `time=${later.toISOString()}`])
  expect(await server.query('select label from marked')).toEqual([{ label: 'in the backup' }, { label: 'later' }])
  const early = await restores.attempt(['--target', `time=${new Date(+new Date(stopped_at) - 1).toISOString()}`])
  expect(early.stderr).toMatch(/is before the first backup that can be used, .* ended at .* \(target_unreachable\)/)
  await pair.standby.query('select pg_wal_replay_resume()')
  expect(await disagreements(pair.server)).toEqual([])
})
