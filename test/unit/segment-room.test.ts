import { expect, test } from 'vitest'
import { segmentRoom } from '../../src/worker/segment-room.js'

const MEBIBYTE = 1024 * 1024

test.each([
  [1, { raw: 16, posted: 4 }],
  [8, { raw: 6, posted: 4 }],
  [16, { raw: 3, posted: 4 }],
  [32, { raw: 2, posted: 2 }],
  [64, { raw: 2, posted: 1 }],
  [1024, { raw: 2, posted: 1 }],
])('of segments of %i MB no more are in memory at once than must be', (megabytes, room) => {
  expect(segmentRoom(megabytes * MEBIBYTE)).toEqual(room)
})
