import { expect, it } from 'vitest'
import { until } from './until.js'

it('asks again, past throws and falsy answers, and gives the first true one', async () => {
  const answers = [() => 0, () => Promise.reject(new Error('not up')), () => Promise.resolve(null), () => 'here']
  expect(await until('it is here', () => answers.shift()!())).toBe('here')
  expect(answers).toEqual([])
})

it('names what it waited for, and the last error, when the time is over', async () => {
  const cause = new Error('connection refused')
  const waiting = until('the server is up', () => Promise.reject(cause), 30)
  await expect(waiting).rejects.toThrow(
    expect.objectContaining({
      message: 'timed out after 30 ms waiting until the server is up; last error: connection refused',
      cause,
    }),
  )
})
