import { afterEach, describe, expect, test } from 'vitest'
import { request } from 'undici'
import type { Catalog } from '../../src/catalog/catalog.js'
import type { ListenAddress } from '../../src/observe/listen-address.js'
import { workerConfig } from '../../src/config.js'
import { Secret } from '../../src/secret.js'
import { openWorkerServer } from '../../src/worker/http/worker-server.js'
import { WorkerState } from '../../src/worker/worker-state.js'
import { freePort } from '../sandbox/ports.js'

const TOKEN = 'a-token-of-the-page'

let close: () => Promise<void>
afterEach(() => close())

async function serve(token: string | null, host = '127.0.0.1', state = new WorkerState()) {
  const listen: ListenAddress = { host, port: await freePort() }
  const server = await openWorkerServer(listen, token === null ? null : new Secret(token), state)
  close = () => server.close()
  return async (path: string, headers: Record<string, string> = {}) => {
    const { statusCode, headers: answered, body } = await request(`http://127.0.0.1:${listen.port}${path}`, { headers })
    return { status: statusCode, headers: answered, body: await body.text() }
  }
}

describe('the page with a token', () => {
  test('opens by the header, and by the address, which is then without it', async () => {
    const ask = await serve(TOKEN, '0.0.0.0')
    expect((await ask('/', { authorization: `Bearer ${TOKEN}`, host: 'db1.example' })).status).toBe(200)
    const shown = await ask(`/?token=${TOKEN}`)
    expect(shown).toMatchObject({ status: 303, headers: { location: '/' } })
    const cookie = String(shown.headers['set-cookie'])
    expect(cookie).toMatch(/^postbox_page=[0-9a-f]{64}; Path=\/; HttpOnly; SameSite=Strict; Max-Age=\d+$/)
    expect(cookie).not.toContain(TOKEN)
    expect((await ask('/', { cookie: `other=1; ${cookie.split(';')[0]!}` })).status).toBe(200)
  })

  test.each([
    ['nothing', '/', {}, /^page_token_missing: .*\n.*\/\?token=/],
    ['another token', '/?token=a-token-of-the-pagf', {}, /^page_token_wrong: /],
    ['an empty one', '/?token=', {}, /^page_token_wrong: /],
    ['two of them', `/?token=${TOKEN}&token=x`, {}, /^page_token_missing: /],
    ['another scheme', '/', { authorization: `Basic ${TOKEN}` }, /^page_token_missing: /],
    ['the token as the cookie', '/', { cookie: `postbox_page=${TOKEN}` }, /^page_token_missing: /],
    ['nothing, for what is new', '/events', {}, /^page_token_missing: /],
  ])('stays closed to who shows %s', async (_, path, headers, text) => {
    const answer = await (await serve(TOKEN))(path, headers as Record<string, string>)
    expect(answer).toMatchObject({ status: 401, headers: { 'content-type': 'text/plain; charset=utf-8' } })
    expect(answer.headers['set-cookie']).toBeUndefined()
    expect(answer.body).toMatch(text)
    expect(answer.body).not.toContain(TOKEN)
  })
})

test('without a token it opens for nobody where other machines can reach it, and metrics do', async () => {
  const ask = await serve(null, '0.0.0.0')
  for (const path of ['/', '/events', `/?token=${TOKEN}`]) {
    const { status, body } = await ask(path)
    expect([status, body]).toEqual([403, expect.stringMatching(/^page_elsewhere: .*\n.*POSTBOX_PAGE_TOKEN/)])
  }
  expect((await ask('/metrics')).status).toBe(200)
  expect((await ask('/healthz')).status).toBe(200)
})

test('the catalog is asked while somebody looks, and once for all who do', async () => {
  let asked = 0
  const state = new WorkerState()
  const read = () => {
    asked++
    return Promise.reject(new Error('the catalog is of another version'))
  }
  state.begin({
    catalog: { overviews: { read } } as unknown as Catalog,
    walWanted: () => true,
    streaming: () => true,
    durable: () => null,
    grantExpiresAt: () => null,
  })
  const ask = await serve(null, '127.0.0.1', state)
  await ask('/healthz')
  await ask('/', { host: 'evil.example' })
  expect(asked).toBe(0)
  const began = performance.now()
  const pages = await Promise.all(Array.from({ length: 20 }, () => ask('/')))
  for (const { status, body } of pages) {
    expect(status).toBe(200)
    // What went wrong is said, and nothing is called safe.
    expect(body).toContain('the catalog is of another version')
    expect(body).toContain('The database has not answered yet')
  }
  expect(asked).toBeLessThanOrEqual(1 + Math.floor((performance.now() - began) / 3000))
})

test('a token is one word of 16 signs, from a variable or from a file and not from both', () => {
  close = () => Promise.resolve()
  const database = { POSTBOX_DATABASE_URL: 'postgresql://postbox@localhost/postgres' }
  const env = { ...database, POSTBOX_LISTEN: '9187' }
  expect(workerConfig({ ...env, POSTBOX_PAGE_TOKEN: TOKEN }).pageToken?.reveal()).toBe(TOKEN)
  expect(workerConfig(env).pageToken).toBeNull()
  // Nobody would see the page that it is for.
  expect(() => workerConfig({ ...database, POSTBOX_PAGE_TOKEN: TOKEN })).toThrow('POSTBOX_LISTEN is not set')
  const refused = { code: 'config_invalid', message: expect.stringContaining('POSTBOX_PAGE_TOKEN') as string }
  for (const token of ['short', 'a token with spaces in it', 'a/token?with&signs=of#addresses']) {
    expect(() => workerConfig({ ...env, POSTBOX_PAGE_TOKEN: token })).toThrow(expect.objectContaining(refused) as Error)
  }
  const both = { POSTBOX_PAGE_TOKEN: TOKEN, POSTBOX_PAGE_TOKEN_FILE: '/nowhere' }
  expect(() => workerConfig({ ...env, ...both })).toThrow(expect.objectContaining(refused) as Error)
})
