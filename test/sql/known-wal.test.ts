import { describe, expect, test } from 'vitest'
import { postgresVersions } from '../sandbox/postgres.js'
import { installedServer } from './installed-server.js'
import { lsnOf, record, segment, type SegmentChoice } from './wal-rows.js'

describe.each(postgresVersions)('what is known of WAL on Postgres %i', (version) => {
  const catalog = installedServer(version)

  const knows = 'select backup._knows_segment($1, $2, $3, $4)'
  const asked = (system: number, choice: SegmentChoice) => {
    const { timeline, sha256 } = segment(choice) as { timeline: number; sha256: string }
    return [system, timeline, lsnOf(choice.number), Buffer.from(sha256, 'hex')]
  }

  test('a segment is known once it is recorded, on its own timeline and system', async () => {
    expect(await catalog.value(knows, asked(1, { number: 5 }), 'walt')).toBe(false)
    await record(catalog, 1, [{ number: 5 }])
    expect(await catalog.value(knows, asked(1, { number: 5 }), 'walt')).toBe(true)
    expect(await catalog.value(knows, asked(1, { number: 6 }), 'walt')).toBe(false)
    expect(await catalog.value(knows, asked(1, { number: 5, timeline: 2 }), 'walt')).toBe(false)
    expect(await catalog.value(knows, asked(2, { number: 5 }), 'walt')).toBe(false)
  })

  test('a segment of other content raises PB021 and names what is stored', async () => {
    await record(catalog, 3, [{ number: 7 }])
    const { key } = segment({ number: 7 }) as { key: string }
    expect(await catalog.error(knows, asked(3, { number: 7, content: 'other' }), 'walt')).toMatchObject({
      code: 'PB021',
      message: expect.stringContaining(key),
      hint: expect.stringContaining('split brain'),
    })
  })

  test('a segment of which a rebuild knew the first six bytes of the hash is the one that begins with them', async () => {
    await record(catalog, 5, [{ number: 8 }])
    await catalog.rows('update backup._wal_segment set sha256 = substring(sha256, 1, 6) where system_identifier = 5')
    expect(await catalog.value(knows, asked(5, { number: 8 }), 'walt')).toBe(true)
    expect(await record(catalog, 5, [{ number: 8 }])).toBeNull()
    const other = await catalog.error(knows, asked(5, { number: 8, content: 'other' }), 'walt')
    expect(other).toMatchObject({ code: 'PB021' })
    await expect(record(catalog, 5, [{ number: 8, content: 'other' }])).rejects.toMatchObject({ code: 'PB021' })
  })

  test.each([null, Buffer.alloc(31)])('a hash that is none is refused: %j', async (sha256) => {
    expect(await catalog.error(knows, [1, 1, '0/0', sha256], 'walt')).toMatchObject({ code: 'PB001' })
  })

  test('a timeline is known once it is recorded, and another history raises PB021', async () => {
    const asks = 'select backup._knows_timeline(4, 2, $1)'
    const history = '1\t0/3000000\tno recovery target specified\n'
    expect(await catalog.value(asks, [history], 'walt')).toBe(false)
    await catalog.rows(`select backup._record_timeline(4, 2, $1, 'db1/4/wal/00000002.history-0')`, [history], 'walt')
    expect(await catalog.value(asks, [history], 'walt')).toBe(true)
    for (const other of ['1\t0/4000000\tno recovery target specified\n', null]) {
      expect(await catalog.error(asks, [other], 'walt')).toMatchObject({ code: 'PB021' })
    }
  })
})
