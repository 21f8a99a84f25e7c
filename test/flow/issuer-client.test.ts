import { once } from 'node:events'
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { requestGrant } from '../../src/box/issuer-client.js'
import { Secret } from '../../src/secret.js'
import { until } from '../sandbox/until.js'

let server: http.Server
let url: string
let answer: (request: IncomingMessage, response: ServerResponse) => void
let seen: IncomingMessage[]
const never = new AbortController().signal
const token = new Secret('token-of-db1')

beforeEach(async () => {
  seen = []
  server = http.createServer((request, response) => {
    seen.push(request)
    answer(request, response)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterEach(() => {
  server.close()
  server.closeAllConnections()
})

const reply = (status: number, body: string, headers: Record<string, string> = {}): void => {
  answer = (_, response) => response.writeHead(status, headers).end(body)
}

test('a grant is asked for with the token, and comes with what the keyholder knows', async () => {
  reply(200, JSON.stringify({ grant: { a: 1 }, known: { last_drill: null } }))
  const { grant, news } = await requestGrant({ url: `${url}/`, token, signal: never })
  expect([grant, news]).toEqual([{ a: 1 }, { last_drill: null }])
  expect([seen[0]!.method, seen[0]!.url, seen[0]!.headers.authorization]).toEqual([
    'POST',
    '/v1/grants',
    'Bearer token-of-db1',
  ])
})

test.each([401, 403])('a token that is refused with %i is named as that, without the token', async (status) => {
  reply(status, 'who is token-of-db1?')
  const error = await requestGrant({ url, token, signal: never }).catch(
    (thrown: unknown) => thrown as Error & { hint: string },
  )
  expect(error).toMatchObject({ code: 'issuer_refused' })
  expect(JSON.stringify([(error as Error).message, (error as { hint: string }).hint])).not.toContain('token-of-db1')
})

test.each([
  [500, ''],
  [404, ''],
  [200, 'not json'],
  [200, '[]'],
])('an answer of %i with %j is an issuer that is not available', async (status, body) => {
  reply(status, body)
  await expect(requestGrant({ url, token, signal: never })).rejects.toMatchObject({ code: 'issuer_unavailable' })
})

test('a Retry-After of the issuer is passed on', async () => {
  reply(503, '', { 'retry-after': '3' })
  await expect(requestGrant({ url, token, signal: never })).rejects.toMatchObject({ retryAfterMs: 3000 })
})

test('an answer that is far too long is cut off', async () => {
  reply(200, JSON.stringify({ grant: 'x'.repeat(2_000_000) }))
  await expect(requestGrant({ url, token, signal: never })).rejects.toMatchObject({ code: 'issuer_unavailable' })
})

test('an issuer that nobody answers for is not available', async () => {
  server.close()
  await expect(requestGrant({ url, token, signal: never })).rejects.toMatchObject({
    code: 'issuer_unavailable',
    message: expect.stringContaining('ECONNREFUSED'),
  })
})

test('asking ends at once with the reason when it is aborted', async () => {
  answer = () => undefined
  const stop = new AbortController()
  const asking = requestGrant({ url, token, signal: stop.signal })
  asking.catch(() => undefined)
  await until('the issuer was asked', () => seen.length > 0)
  stop.abort(new Error('stopped by the test'))
  await expect(asking).rejects.toThrow('stopped by the test')
})
