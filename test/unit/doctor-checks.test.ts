import { describe, expect, test } from 'vitest'
import type { Facts, Slot } from '../../src/catalog/examined-server.js'
import { clockCheck } from '../../src/doctor/box-checks.js'
import { diskCheck, settingChecks, slotChecks, versionCheck } from '../../src/doctor/server-checks.js'

const facts: Facts = {
  version_num: 180004,
  version: '18.4',
  database: 'postgres',
  system_identifier: '1',
  in_recovery: false,
  role_name: 'postbox',
  is_superuser: false,
  may_replicate: true,
  is_worker: true,
  may_read_all: true,
  encrypted: null,
  wal_level: 'replica',
  max_wal_senders: 10,
  wal_senders: 0,
  max_replication_slots: 10,
  slots: 0,
  max_slot_wal_keep_size: '-1',
  data_directory: null,
  clock_ms: 0,
}
const slot: Slot = { active: true, wal_status: 'reserved', kept_bytes: 16 * 1024 ** 2 }

describe('what a server must have for the worker', () => {
  test.each([
    ['Postgres 14', { version_num: 140012 }, 'server_version', 'fail'],
    ['a Postgres that is newer than all that were tried', { version_num: 190000 }, 'server_version', 'warn'],
    ['wal_level minimal', { wal_level: 'minimal' }, 'wal_level', 'fail'],
    ['no walsenders at all', { max_wal_senders: 0 }, 'max_wal_senders', 'fail'],
    ['room for one walsender', { wal_senders: 9 }, 'max_wal_senders', 'warn'],
    ['a limit to what slots keep', { max_slot_wal_keep_size: '1GB' }, 'max_slot_wal_keep_size', 'warn'],
    ['room for no slot', { slots: 10 }, 'max_replication_slots', 'fail'],
    ['room for one slot', { slots: 9 }, 'max_replication_slots', 'warn'],
  ] as const)('%s is seen', (_, changed, name, state) => {
    const seen = { ...facts, ...changed }
    const checks = [versionCheck(seen), ...settingChecks(seen, false), ...slotChecks(seen, 'postbox', null, false)]
    expect(checks.filter((one) => one.state !== 'ok')).toMatchObject([
      { name, state, hint: expect.any(String) as string },
    ])
  })

  test.each([
    ['has lost WAL', { wal_status: 'lost', active: false }, 'fail'],
    ['is about to', { wal_status: 'unreserved' }, 'fail'],
    ['is read by nobody', { active: false }, 'warn'],
    ['is read', {}, 'ok'],
  ] as const)('a slot that %s', (_, changed, state) => {
    const checks = [...slotChecks({ ...facts, slots: 1 }, 'postbox', { ...slot, ...changed }, true)]
    expect(checks.find(({ name }) => name === 'slot')).toMatchObject({ state })
  })

  test('a slot that is not there is wrong only where a worker runs', () => {
    const state = (runs: boolean) =>
      [...slotChecks(facts, 'postbox', null, runs)].find(({ name }) => name === 'slot')!.state
    expect([state(false), state(true)]).toEqual(['ok', 'warn'])
  })

  test('a disk that cannot be seen is called neither good nor bad', async () => {
    expect(await diskCheck(facts)).toMatchObject({ state: 'unknown' })
    expect(await diskCheck({ ...facts, data_directory: '/not/here' })).toMatchObject({ state: 'unknown' })
    expect(await diskCheck({ ...facts, data_directory: '/' })).toMatchObject({
      seen: expect.stringContaining('GiB free') as string,
    })
  })

  test.each([
    [1000, 'ok'],
    [-120_000, 'warn'],
    [16 * 60_000, 'fail'],
  ])('clocks that are %i ms apart', (apart, state) => {
    expect(clockCheck('box_clock', "the box's", apart)).toMatchObject({ state })
  })
})
