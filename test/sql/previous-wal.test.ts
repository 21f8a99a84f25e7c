import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { previousOfFirst } from '../../src/box/key-names.js'
import { postgresVersions } from '../sandbox/postgres.js'
import { installedServer } from './installed-server.js'
import { lsnOf, MIB, record, segment, type SegmentChoice } from './wal-rows.js'

describe.each(postgresVersions)('what a WAL segment follows on Postgres %i', (version) => {
  const catalog = installedServer(version)

  const markOf = (choice: SegmentChoice) => (segment(choice) as { sha256: string }).sha256.slice(0, 12)

  const previous = (system: number, timeline: number, number: number) =>
    catalog.value('select backup._previous_mark($1, $2, $3, $4)', [system, timeline, lsnOf(number), MIB], 'walt')

  /** Records that `timeline` left `parent` inside a segment. Returns the history's mark. */
  async function branchOff(system: number, timeline: number, parent: number, number: number): Promise<string> {
    const history = `${parent}\t${lsnOf(number).slice(0, -1)}8\tno recovery target specified\n`
    const mark = createHash('sha256').update(history).digest('hex').slice(0, 12)
    const key = `db1/${system}/wal/0000000${timeline}.history-${mark}`
    await catalog.rows('select backup._record_timeline($1, $2, $3, $4)', [system, timeline, history, key], 'walt')
    return mark
  }

  test('is the one in front of it on its timeline, once that is recorded', async () => {
    expect(await previous(1, 1, 6)).toBeNull()
    await record(catalog, 1, [{ number: 5 }])
    expect(await previous(1, 1, 6)).toBe(markOf({ number: 5 }))
    expect([
      await previous(1, 1, 5),
      await previous(1, 1, 7),
      await previous(1, 2, 6),
      await previous(2, 1, 6),
    ]).toEqual([null, null, null, null])
    expect(await previous(1, 1, 0)).toBeNull()
  })

  test('goes through the history where a timeline begins, and not behind that', async () => {
    await record(catalog, 3, [{ number: 5 }, { number: 6 }, { number: 7 }])
    const history = await branchOff(3, 2, 1, 6)
    expect(await previous(3, 2, 6)).toBe(previousOfFirst(markOf({ number: 5 }), history))
    // Of its own: what the parent wrote later never happened here.
    expect(await previous(3, 2, 7)).toBeNull()
    await record(catalog, 3, [{ number: 6, timeline: 2 }])
    expect(await previous(3, 2, 7)).toBe(markOf({ number: 6, timeline: 2 }))
    expect(await previous(3, 1, 7)).toBe(markOf({ number: 6 }))
  })

  test('is that of the timeline which wrote the segment in front, where two branched off in one', async () => {
    await record(catalog, 4, [{ number: 5 }])
    await branchOff(4, 2, 1, 6)
    const history = await branchOff(4, 3, 2, 6)
    expect(await previous(4, 3, 6)).toBe(previousOfFirst(markOf({ number: 5 }), history))
  })

  test('is the history alone where the segment in front is not known', async () => {
    const history = await branchOff(5, 2, 1, 6)
    expect(await previous(5, 2, 6)).toBe(previousOfFirst(null, history))
  })

  test('is told together with the key of any segment', async () => {
    await record(catalog, 6, [{ number: 5 }])
    const key = (number: number) => catalog.value('select backup._segment_key(6, 1, $1)', [lsnOf(number)], 'walt')
    expect([await key(5), await key(6)]).toEqual([(segment({ number: 5 }) as { key: string }).key, null])
  })
})
