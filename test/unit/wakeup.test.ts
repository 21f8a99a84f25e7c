import { getEventListeners } from 'node:events'
import { expect, test } from 'vitest'
import { Wakeup } from '../../src/worker/wakeup.js'

test('a wake that comes before the wait ends it at once', async () => {
  const wakeup = new Wakeup()
  wakeup.wake()
  await wakeup.wait(2 ** 31 - 1, new AbortController().signal)
})

test('a wait ends when its signal is aborted', async () => {
  const ending = new AbortController()
  const waiting = new Wakeup().wait(2 ** 31 - 1, ending.signal)
  ending.abort()
  await waiting
})

test('a signal that was waited on again and again is left without listeners', async () => {
  const wakeup = new Wakeup()
  const { signal } = new AbortController()
  for (let n = 0; n < 100; n++) {
    const waiting = wakeup.wait(2 ** 31 - 1, signal)
    wakeup.wake()
    await waiting
  }
  expect(getEventListeners(signal, 'abort')).toEqual([])
})
