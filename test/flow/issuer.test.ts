import { rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import type { S3ClientConfig } from '@aws-sdk/client-s3'
import { Agent, request } from 'undici'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { checkGrant } from '../../src/box/grant-check.js'
import type { Grant } from '../../src/box/grant.js'
import { requestGrant } from '../../src/box/issuer-client.js'
import { createIssuer } from '../../src/keyholder/issuer.js'
import { openKnownServers } from '../../src/keyholder/known-servers.js'
import { openS3 } from '../../src/keyholder/s3-client.js'
import { hashToken, newToken } from '../../src/keyholder/token.js'
import { createLog } from '../../src/log.js'
import { Secret } from '../../src/secret.js'
import { makeCertificate, type TestCertificate } from '../sandbox/s3/tls.js'
import { removeScratch, scratchDir } from '../sandbox/scratch.js'

const bucket = 'acme-backups'
const accessKeyId = 'AKIAIOSFODNN7EXAMPLE'
const secretAccessKey = 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY'
const signal = AbortSignal.timeout(60_000)

let directory: string
let file: string
let certificate: TestCertificate
let app: FastifyInstance | undefined
let logged: string[]

const token = newToken()
const entry = (name: string, of: Secret, more = ''): string =>
  `  ${name}:\n    token_sha256: ${hashToken(of).toString('hex')}\n${more}`

beforeAll(async () => {
  directory = await scratchDir('issuer')
  certificate = await makeCertificate()
})

beforeEach(async () => {
  logged = []
  file = join(directory, 'keyholder.yaml')
  await writeFile(file, `servers:\n${entry('db1', token, '    grant_life: 2h\n    max_part_bytes: 1MiB\n')}`)
})

afterEach(async () => {
  await app?.close()
  app = undefined
})

afterAll(async () => {
  await certificate.remove()
  await removeScratch()
})

/** Starts an issuer, and gives its address. */
async function start(choices: { tls?: boolean; s3?: S3ClientConfig } = {}): Promise<string> {
  const log = createLog('debug', { write: (line) => void logged.push(line) })
  const config = { bucket, endpoint: 'https://s3.example.com', region: 'eu-west-1', pathStyle: true, caFile: null }
  const s3 = openS3(config, choices.s3 ?? { credentials: { accessKeyId, secretAccessKey } })
  const tls = choices.tls ? { cert: String(certificate.cert), key: String(certificate.key) } : undefined
  app = createIssuer({ s3, bucket, servers: await openKnownServers(file, log), log, tls })
  return app.listen({ host: '127.0.0.1', port: 0 })
}

interface Answer {
  status: number
  headers: Record<string, unknown>
  json: Record<string, unknown>
}

async function post(url: string, headers: Record<string, string> = {}, body?: string): Promise<Answer> {
  const answer = await request(`${url}/v1/grants`, { method: 'POST', headers, body: body ?? null })
  return { status: answer.statusCode, headers: answer.headers, json: (await answer.body.json()) as Answer['json'] }
}

const bearer = (of: Secret): { authorization: string } => ({ authorization: `Bearer ${of.reveal()}` })

describe('a server with its token', () => {
  test.each([false, true])('gets a grant that it can use (TLS: %s)', async (tls) => {
    const url = await start({ tls })
    const { grant, news } = await requestGrant({ url, token, signal, ...(tls && { ca: certificate.cert }) })
    const checked = checkGrant(grant, 'db1', new Date())
    expect(checked).toMatchObject({ bucket, key_prefix: 'db1/', max_part_bytes: 1024 ** 2 })
    expect(Date.parse(checked.expires_at) - Date.parse(checked.issued_at)).toBe(2 * 3600_000)
    expect(news).toEqual({})
  })

  test('gets a life and a size of the usual kind where the file says none', async () => {
    await writeFile(file, `servers:\n${entry('db1', token)}`)
    const grant = (await post(await start(), bearer(token))).json['grant'] as Grant
    expect(grant.max_part_bytes).toBe(64 * 1024 ** 2)
    expect(Date.parse(grant.expires_at) - Date.parse(grant.issued_at)).toBe(12 * 3600_000)
  })

  test('gets an answer that nothing on the way may keep', async () => {
    expect((await post(await start(), bearer(token))).headers['cache-control']).toBe('no-store')
  })

  test('may send any small body, which is not read', async () => {
    const url = await start()
    for (const [type, body] of [
      ['application/json', ''],
      ['application/json', '{"server":"db2"}'],
      ['text/plain', 'hello'],
    ] as const) {
      const { status, json } = await post(url, { ...bearer(token), 'content-type': type }, body)
      expect({ status, server: (json['grant'] as Grant).server }).toEqual({ status: 200, server: 'db1' })
    }
    expect((await post(url, bearer(token), 'x'.repeat(2000))).status).toBe(413)
  })

  test('is answered over TLS to those only who trust the certificate', async () => {
    const url = await start({ tls: true })
    await expect(requestGrant({ url, token, signal })).rejects.toMatchObject({ code: 'issuer_unavailable' })
  })
})

describe('anybody else', () => {
  test.each<[string, Record<string, string>, string]>([
    ['without a token', {}, 'no token was sent'],
    ['with another scheme', { authorization: 'Basic ZGIxOng=' }, 'no token was sent'],
    ['with an empty token', { authorization: 'Bearer ' }, 'no token was sent'],
    ['with a made-up token', bearer(newToken()), 'the token belongs to no server'],
    [
      'with the hash of the token',
      bearer(new Secret(hashToken(token).toString('hex'))),
      'the token belongs to no server',
    ],
    ['with half the token', bearer(new Secret(token.reveal().slice(0, 25))), 'the token belongs to no server'],
  ])('%s gets 401 and a hint', async (_, headers, message) => {
    const { status, json, headers: answered } = await post(await start(), headers)
    expect(status).toBe(401)
    expect(answered['www-authenticate']).toBe('Bearer')
    expect(json).toEqual({ error: { code: 'issuer_refused', message, hint: expect.stringContaining('--new-token') } })
  })

  test('gets a grant for the server of the token, and for no other', async () => {
    const other = newToken()
    await writeFile(file, `servers:\n${entry('db1', token)}${entry('db2', other)}`)
    const url = await start()
    for (const [of, server] of [
      [token, 'db1'],
      [other, 'db2'],
    ] as const) {
      expect((await post(url, bearer(of))).json['grant']).toMatchObject({ server, key_prefix: `${server}/` })
    }
  })

  test('finds nothing at other paths', async () => {
    const url = await start()
    for (const path of ['/', '/v1/grants', '/keyholder.yaml']) {
      const answer = await request(url + path)
      expect(answer.statusCode).toBe(404)
      await answer.body.dump()
    }
  })

  test('is told apart by the worker from an issuer that is away', async () => {
    const url = await start()
    await expect(requestGrant({ url, token: newToken(), signal })).rejects.toMatchObject({ code: 'issuer_refused' })
    await app!.close()
    await expect(requestGrant({ url, token, signal })).rejects.toMatchObject({ code: 'issuer_unavailable' })
  })
})

describe('when the S3 key', () => {
  const session = { accessKeyId, secretAccessKey, sessionToken: 'session-token' }
  const ended = { credentials: { ...session, expiration: new Date(Date.now() - 1000) } }
  const missing = { credentials: () => Promise.reject(new Error('Could not load credentials from any providers')) }

  test.each<[string, S3ClientConfig, string]>([
    ['has ended', ended, 'credentials_expired'],
    ['is missing', missing, 'credentials_missing'],
  ])('%s, grants and health answer 503', async (_, s3, code) => {
    const url = await start({ s3 })
    const { status, json, headers } = await post(url, bearer(token))
    expect({ status, retryAfter: headers['retry-after'] }).toEqual({ status: 503, retryAfter: '60' })
    expect(json).toEqual({ error: { code, message: expect.any(String), hint: expect.any(String) } })
    const health = await request(`${url}/health`)
    expect({ status: health.statusCode, json: await health.body.json() }).toMatchObject({
      status: 503,
      json: { error: { code } },
    })
    await expect(requestGrant({ url, token, signal })).rejects.toMatchObject({
      code: 'issuer_unavailable',
      retryable: true,
    })
    expect(logged.join('')).toContain(code)
  })

  test('is found, health says so without a token', async () => {
    const health = await request(`${await start()}/health`)
    expect({ status: health.statusCode, json: await health.body.json() }).toEqual({ status: 200, json: { ok: true } })
  })

  test('ends sooner than the grant would, the grant ends with it', async () => {
    const expiration = new Date(Date.now() + 30 * 60_000)
    const url = await start({ s3: { credentials: { ...session, expiration } } })
    const grant = (await post(url, bearer(token))).json['grant'] as Grant
    expect(Date.parse(grant.expires_at)).toBeLessThanOrEqual(expiration.getTime())
    expect(logged.join('')).toContain('temporary one that ends at')
  })
})

describe('when keyholder.yaml', () => {
  const second = newToken()

  test('is replaced, the next request follows it', async () => {
    const url = await start()
    expect((await post(url, bearer(second))).status).toBe(401)
    await writeFile(`${file}.new`, `servers:\n${entry('db2', second)}`)
    await rename(`${file}.new`, file)
    expect((await post(url, bearer(second))).json['grant']).toMatchObject({ server: 'db2' })
    expect((await post(url, bearer(token))).status).toBe(401)
  })

  test('is broken, the old one stays and the log says so once', async () => {
    const url = await start()
    await writeFile(file, 'servers:\n  db1:\n    token_sha256: abc\n')
    for (let times = 0; times < 3; times++) expect((await post(url, bearer(token))).status).toBe(200)
    const complaints = logged.filter((line) => line.includes('cannot be used'))
    expect(complaints).toHaveLength(1)
    expect(complaints[0]).toContain('line 3')
    await writeFile(file, `servers:\n${entry('db1', second)}`)
    expect((await post(url, bearer(token))).status).toBe(401)
    expect((await post(url, bearer(second))).status).toBe(200)
  })

  test('is missing at the start, there is no issuer', async () => {
    file = join(directory, 'nowhere.yaml')
    await expect(start()).rejects.toMatchObject({ code: 'config_missing', message: `${file} cannot be read` })
  })
})

test('the log tells who got a grant, and never a token, a policy, a signature or the S3 key', async () => {
  const url = await start({ tls: true })
  const dispatcher = new Agent({ connect: { ca: certificate.cert } })
  const wrong = newToken()
  const grants: Grant[] = []
  for (const one of [token, wrong]) {
    const headers = { ...bearer(one), 'content-type': 'application/json' }
    const answer = await request(`${url}/v1/grants?token=${one.reveal()}`, {
      method: 'POST',
      headers,
      dispatcher,
      body: one.reveal(),
    })
    const { grant } = (await answer.body.json()) as { grant?: Grant }
    if (grant) grants.push(grant)
  }
  await dispatcher.close()
  expect(grants).toHaveLength(1)
  const log = logged.join('')
  expect(log).toContain('"server":"db1"')
  expect(log).toContain('refused')
  const { fields } = grants[0]!
  const secrets = [token.reveal(), wrong.reveal(), hashToken(token).toString('hex'), secretAccessKey, accessKeyId]
  for (const secret of [...secrets, fields['policy']!, fields['x-amz-signature']!]) expect(log).not.toContain(secret)
})
