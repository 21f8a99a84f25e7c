import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import type { Box } from '../../src/box/box.js'
import { TailPoster } from '../../src/worker/tail-poster.js'
import { Wakeup } from '../../src/worker/wakeup.js'
import { until } from '../sandbox/until.js'

const HOUR_MS = 3600 * 1000

test('a tail that waits for its pace is posted as soon as a COMMIT waits for it', async () => {
  const bytes = Buffer.from('the beginning of a segment')
  const paceChanged = new Wakeup()
  const ending = new AbortController()
  const asked: number[] = []
  let intervalMs = HOUR_MS
  let postedTo = 0n
  const tails = new TailPoster({
    home: { server: 'db1', systemIdentifier: '7000' },
    segmentBytes: 1024 * 1024,
    box: { post: async () => undefined } as unknown as Box,
    compressionLevel: () => 3,
    intervalMs: () => {
      asked.push(intervalMs)
      return intervalMs
    },
    paceChanged,
    unfinished: () => ({
      segment: { timeline: 1, start: 0n },
      bytes,
      sha256: createHash('sha256').update(bytes).digest(),
    }),
    previous: () => null,
    inspect: () => undefined,
    onStored: async (_, to) => {
      postedTo = to
    },
  })
  const running = tails.run(ending.signal)
  // Another pace that is as slow changes nothing.
  intervalMs = HOUR_MS / 2
  paceChanged.wake()
  await until('the pace is looked at again', () => asked.includes(HOUR_MS / 2))
  expect(postedTo).toBe(0n)
  intervalMs = 0
  paceChanged.wake()
  await until('the tail is posted', () => postedTo === BigInt(bytes.length))
  ending.abort()
  await running
})
