import { describe, expect, test } from 'vitest'
import { postgresVersions } from '../sandbox/postgres.js'
import { installedServer } from './installed-server.js'

const good: [setting: string, given: string, kept: string][] = [
  ['server', 'db-1.example_com', 'db-1.example_com'],
  ['slot', 'postbox_2', 'postbox_2'],
  ['compression_level', '19', '19'],
  ['compression_level', ' 3 ', '3'],
  ['part_bytes', '1073741824', '1073741824'],
  ['part_bytes', '8MB', '8388608'],
  ['upload_connections', '32', '32'],
  ['upload_rate_limit', '10MB', '10485760'],
  ['upload_rate_limit', '0', '0'],
  ['wal_keep_limit', '50GB', '53687091200'],
  ['wal_keep_limit', '00', '0'],
  ['base_after_gap', 'off', 'off'],
  ['stream_wal', 'off', 'off'],
  ['base_after_gap', 'TRUE', 'on'],
  ['job_max_attempts', '1', '1'],
  ['base_max_age', '1 week', '7 days'],
  ['wal_interval', '250 ms', '00:00:00.25'],
  ['wal_max_delay', '90 s', '00:01:30'],
  ['grant_warn_before', '1 hour', '01:00:00'],
  ['wal_max_at_risk', '4GB', '4294967296'],
  ['disk_min_free', '5', '5'],
  ['clock_max_skew', '10 s', '00:00:10'],
]

const bad: [setting: string, given: string, hint: RegExp][] = [
  ['server', '', /1 to 63 letters/],
  ['server', '-db', /beginning with a letter/],
  ['server', 'a/b', /letters, digits/],
  ['server', 'x'.repeat(64), /1 to 63/],
  ['server', 'a\nb', /letters, digits/],
  ['slot', 'Postbox', /lower-case/],
  ['slot', "x'; drop", /lower-case/],
  ['compression_level', '0', /from 1 to 19\./],
  ['compression_level', '20', /from 1 to 19/],
  ['compression_level', '1MB', /from 1 to 19/],
  ['compression_level', 'fast', /from 1 to 19/],
  ['part_bytes', '1kB', /from 1048576 to 1073741824, or a size/],
  ['part_bytes', '2GB', /from 1048576/],
  ['part_bytes', '-16MB', /from 1048576/],
  ['part_bytes', '9'.repeat(30), /from 1048576/],
  ['upload_connections', '33', /from 1 to 32/],
  ['upload_connections', '1.5', /from 1 to 32/],
  ['upload_rate_limit', 'NaN', /from 0/],
  ['wal_keep_limit', '50', /from 1048576/],
  ['wal_keep_limit', '-1', /from 1048576/],
  ['base_after_gap', 'sometimes', /Use on or off/],
  ['base_after_gap', '', /Use on or off/],
  ['stream_wal', 'sometimes', /Use on or off/],
  ['job_max_attempts', '0', /from 1 to 100/],
  ['base_max_age', 'soon', /positive interval/],
  ['base_max_age', '-1 day', /positive interval/],
  ['wal_interval', '-1 s', /positive interval/],
  ['wal_max_delay', '0', /positive interval/],
  ['wal_max_delay', '200 years', /positive interval/],
  ['grant_warn_before', 'infinity', /positive interval/],
  ['disk_min_free', '0', /from 1 to 90/],
  ['webhook_url', 'ftp://example.com/x', /an address such as/],
  ['webhook_url', 'https://user:pass@example.com/', /an address such as/],
  ['webhook_url', 'https://example.com/a b', /an address such as/],
  ['webhook_secret', 'a\nb', /printable/],
]

describe.each(postgresVersions)('settings on Postgres %i', (version) => {
  const catalog = installedServer(version)

  test('every setting shows its default and meaning', async () => {
    const rows = await catalog.rows('select * from backup.settings')
    expect(rows.map((row) => row['setting'])).toContain('upload_rate_limit')
    for (const row of rows) {
      expect(row['value']).toBe(row['default_value'])
      expect(row['meaning']).toMatch(/\.$/)
      expect(row['unit']).toMatch(/\w/)
    }
  })

  test.each(good)('%s takes %j', async (setting, given, kept) => {
    await catalog.rows('select backup.configure($1, $2)', [setting, given])
    const value = 'select value from backup.settings where setting = $1'
    expect(await catalog.value(value, [setting])).toBe(kept)
    // What is shown can be given back.
    await catalog.rows('select backup.configure($1, $2)', [setting, kept])
    expect(await catalog.value(value, [setting])).toBe(kept)
    await catalog.rows('select backup.configure($1, null)', [setting])
    const unset = await catalog.rows('select value, default_value from backup.settings where setting = $1', [setting])
    expect(unset[0]!['value']).toBe(unset[0]!['default_value'])
  })

  test.each(bad)('%s refuses %j and says what it takes', async (setting, given, hint) => {
    const error = await catalog.error('select backup.configure($1, $2)', [setting, given])
    expect(error).toMatchObject({ code: 'PB001', hint: expect.stringMatching(hint) as string })
    expect(error.message).toContain(`cannot be the setting ${setting}`)
  })

  test('every default is a value that could be configured', async () => {
    const rows = await catalog.rows(
      'select setting, default_value from backup.settings where default_value is not null',
    )
    for (const { setting, default_value } of rows) {
      await catalog.rows('select backup.configure($1, $2)', [setting, default_value])
      await catalog.rows('select backup.configure($1, null)', [setting])
    }
  })

  test('an unknown setting is refused with the names of all', async () => {
    for (const name of ['compression', null]) {
      const error = await catalog.error('select backup.configure($1, $2)', [name, '1'])
      expect(error.code).toBe('PB001')
      expect(error.hint).toContain('compression_level, part_bytes')
    }
  })

  test('a value that is there already writes nothing and wakes nobody', async () => {
    const listener = await (await catalog.server()).connect()
    const heard: (string | undefined)[] = []
    listener.on('notification', ({ payload }) => heard.push(payload))
    await listener.query('listen postbox')
    await catalog.rows(`select backup.configure('part_bytes', '32MB')`)
    await catalog.rows('begin')
    await catalog.rows(`select backup.configure('part_bytes', '33554432')`)
    await catalog.rows(`select backup.configure('slot', null)`)
    expect(await catalog.value('select pg_current_xact_id_if_assigned()')).toBeNull()
    await catalog.rows('commit')
    await catalog.rows(`select backup.configure('part_bytes', null)`)
    // Notifications come in order: once ours is here, nothing else is on its way.
    await catalog.rows(`notify postbox, 'end'`)
    while (!heard.includes('end')) await listener.query('select 1')
    await listener.end()
    expect(heard).toEqual(['setting', 'setting', 'end'])
  })
})
