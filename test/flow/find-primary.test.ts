import { once } from 'node:events'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { findPrimary } from '../../src/catalog/find-primary.js'
import { Secret } from '../../src/secret.js'
import { postbox } from '../sandbox/command.js'
import { startPostgres, type SandboxPostgres } from '../sandbox/postgres.js'

let postgres: SandboxPostgres
/** Takes connections and says nothing, as a machine that is switched off does not even. */
let silent: Server
const taken = new Set<Socket>()

beforeAll(async () => {
  postgres = await startPostgres()
  silent = createServer((socket) => taken.add(socket.on('error', () => undefined))).listen(0, '127.0.0.1')
  await once(silent, 'listening')
})

afterAll(async () => {
  for (const socket of taken) socket.destroy()
  silent.close()
  await postgres.remove()
})

const silentUrl = () => `postgresql://mona@127.0.0.1:${(silent.address() as AddressInfo).port}/postgres`

// Nothing but the primary's answer ends the wait: the signal is never aborted, and the listener never hangs up.
test('in haste a primary that has answered is not held up by a server that says nothing', async () => {
  const urls = [silentUrl(), postgres.url()].map((url) => new Secret(url))
  const haste = { signal: new AbortController().signal, othersMs: 1 }
  const primary = await findPrimary(urls, () => undefined, haste)
  expect(primary.reveal()).toBe(postgres.url())
  expect(taken.size).toBeGreaterThan(0)
})

test('in haste the search ends with the signal, and says who did not answer', async () => {
  const urls = [silentUrl(), silentUrl()].map((url) => new Secret(url))
  const ending = new AbortController()
  silent.once('connection', () => {
    ending.abort()
  })
  await expect(findPrimary(urls, () => undefined, { signal: ending.signal, othersMs: 1 })).rejects.toMatchObject({
    code: 'database_unavailable',
    message: expect.stringMatching(/127\.0\.0\.1:\d+ does not answer in time/) as string,
  })
})

test('in haste an answer of a second primary is still heard', async () => {
  const warnings: string[] = []
  const urls = [postgres.url(), postgres.url().replace('127.0.0.1', 'localhost')].map((url) => new Secret(url))
  await findPrimary(urls, (text) => warnings.push(text), { signal: new AbortController().signal, othersMs: 10_000 })
  expect(warnings).toEqual([expect.stringContaining('two servers are primaries')])
})

test('postbox check says within its time that a server does not answer', async () => {
  const { code, stdout } = await postbox(['check'], { POSTBOX_DATABASE_URL: silentUrl() })
  expect(code).toBe(3)
  expect(stdout).toMatch(/^POSTBOX UNKNOWN - 127\.0\.0\.1:\d+ does not answer in time\n/)
})
