import { describe, expect, test } from 'vitest'
import { PostboxError } from '../../src/errors.js'
import { createLog, describeError } from '../../src/log.js'
import { Secret } from '../../src/secret.js'

function logging(write: (log: ReturnType<typeof createLog>) => void): string {
  let written = ''
  write(createLog('debug', { write: (line) => void (written += line) }))
  return written
}

describe('the log', () => {
  test('is JSON lines with a time, a level by name and a message', () => {
    const line = JSON.parse(logging((log) => void log.info({ server: 'db1' }, 'grant signed'))) as Record<
      string,
      unknown
    >
    expect(line).toEqual({ level: 'info', time: expect.any(String), server: 'db1', msg: 'grant signed' })
    expect(new Date(line['time'] as string).toISOString()).toBe(line['time'])
  })

  test('prints a Secret as *** wherever it stands', () => {
    const secret = new Secret('hunter2')
    const written = logging((log) => {
      log.info({ secret, deep: { er: { url: secret } }, list: [secret] }, `with ${secret}`)
      log.error({ err: new PostboxError('internal', `about ${secret}`, 'h', { cause: new Error(String(secret)) }) })
    })
    expect(written).toContain('***')
    expect(written).not.toContain('hunter2')
  })

  test('hides what is named like a secret, up to two levels down', () => {
    const names = ['authorization', 'token', 'policy', 'password', 'fields', 'grant']
    for (const name of names) {
      const written = logging(
        (log) => void log.info({ [name]: 'hunter2', a: { [name]: 'hunter2', b: { [name]: 'hunter2' } } }),
      )
      expect(written).not.toContain('hunter2')
    }
  })

  test('shows our errors by code, message, hint and cause, without a stack', () => {
    const cause = Object.assign(new Error('connect ECONNREFUSED'), {
      request: { headers: { authorization: 'hunter2' } },
    })
    const error = new PostboxError('box_unavailable', 'the box is away', 'Wait.', { cause })
    expect(describeError(error)).toMatchObject({
      code: 'box_unavailable',
      message: 'the box is away',
      hint: 'Wait.',
      cause: { message: 'connect ECONNREFUSED' },
    })
    expect(describeError(error)).not.toHaveProperty('stack')
    expect(logging((log) => void log.error({ err: error }))).not.toContain('hunter2')
  })

  test('shows what a server said as a cause by its SQLSTATE and message', () => {
    const cause = { code: '57P01', message: 'terminating connection', detail: undefined, fields: 'hunter2' }
    const error = new PostboxError('replication_failed', 'it failed', 'Wait.', { cause })
    expect(describeError(error)['cause']).toEqual({ code: '57P01', message: 'terminating connection' })
  })

  test('shows a defect with its stack', () => {
    expect(describeError(new TypeError('x is not a function'))).toMatchObject({
      name: 'TypeError',
      stack: expect.stringContaining('log.test'),
    })
    expect(describeError('thrown text')).toEqual({ message: 'thrown text' })
  })
})
