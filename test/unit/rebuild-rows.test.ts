import { describe, expect, test } from 'vitest'
import { canBeRow } from '../../src/keyholder/rebuild/can-be-row.js'
import { SegmentChoices } from '../../src/keyholder/rebuild/segment-choice.js'
import type { StoredSegment } from '../../src/keyholder/stored-wal.js'

const MB = 1024 * 1024

/** Segments as `mark<previous`, what was stored first in front; null: none is stored at that place. */
function chosen(places: readonly (readonly string[] | null)[]): (string | null)[] {
  const choices = new SegmentChoices(MB)
  return places.flatMap((contents, index) => {
    if (contents === null) return []
    const segments = contents.map((text) => {
      const [mark, previous] = text.split('<')
      return { name: '', mark: mark!, previous: previous ?? null, object: {} } as StoredSegment
    })
    return [choices.choose(BigInt(index * MB), segments).taken?.mark ?? null]
  })
}

describe('of segments that two servers wrote, the rows follow', () => {
  test.each([
    [
      'the server that stored first where they part',
      [['a'], ['b<a', 'x<a'], ['y<x', 'c<b'], ['d<c', 'z<y']],
      ['a', 'b', 'c', 'd'],
    ],
    [
      'nobody where that one ends and the other goes on',
      [['a'], ['b<a', 'x<a'], ['y<x'], ['z<y']],
      ['a', 'b', null, null],
    ],
    ['whatever is stored behind a gap', [['a'], ['b<a'], null, ['d<c'], ['e<d']], ['a', 'b', 'd', 'e']],
    ['what does not say what it follows', [['a'], ['b'], ['c']], ['a', 'b', 'c']],
    ['what says it rather than what does not', [['a'], ['x', 'b<a'], ['c<b']], ['a', 'b', 'c']],
  ])('%s', (_, places, expected) => {
    expect(chosen(places)).toEqual(expected)
  })
})

test.each([
  [{ label: 'a\0b' }],
  [{ label: '\ud800' }],
  [{ started_at: '9999-01-01T00:00:00Z' }],
  [{ started_at: '0001-01-01T00:00:00Z' }],
  [{ timeline: 2 ** 31 }],
  [{ raw_bytes: 2 ** 60 }],
  [{ start_lsn: '0/2', stop_lsn: '0/1' }],
  [{ parts: 1, raw_bytes: 0 }],
  [{ masked: true, whole: true }],
])('what no column takes is no row: %j', (item) => {
  expect(canBeRow({ label: 'é', started_at: '2026-11-22T10:00:00Z', ...item })).toBe(false)
  expect(canBeRow({ label: 'é', started_at: '2026-11-22T10:00:00Z' })).toBe(true)
})
