import { expect, test } from 'vitest'
import { walFileKind } from '../../src/wal/wal-file.js'

test.each([
  ['000000010000000A000000FF', 'segment'],
  ['0000000A.history', 'history'],
  ['000000010000000A000000FF.00000028.backup', 'backup'],
  ['000000010000000A000000FF.partial', 'partial'],
])('%s is a %s', (name, kind) => {
  expect(walFileKind(name)).toBe(kind)
})

test.each(['', 'PG_VERSION', '000000010000000a000000ff', '000000010000000A000000FF.gz', 'x0000000A.history', '%p'])(
  '"%s" is nothing that Postgres archives',
  (name) => {
    expect(() => walFileKind(name)).toThrow(expect.objectContaining({ code: 'bad_argument' }))
  },
)
