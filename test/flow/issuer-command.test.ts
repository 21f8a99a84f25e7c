import { readFileSync } from 'node:fs'
import { copyFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import tls from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { checkGrant } from '../../src/box/grant-check.js'
import { requestGrant } from '../../src/box/issuer-client.js'
import { Secret } from '../../src/secret.js'
import { runPostbox, startPostbox, type StartedPostbox } from '../sandbox/postbox.js'
import { freePort } from '../sandbox/ports.js'
import { makeCertificate, type TestCertificate } from '../sandbox/s3/tls.js'
import { removeScratch, scratchDir } from '../sandbox/scratch.js'
import { until } from '../sandbox/until.js'

let directory: string
let certificates: TestCertificate[]
let certFile: string
let keyFile: string
let token: Secret

const env = (): Record<string, string> => ({
  POSTBOX_BUCKET: 'acme-backups',
  POSTBOX_KEYHOLDER_FILE: join(directory, 'keyholder.yaml'),
  AWS_ACCESS_KEY_ID: 'AKIAIOSFODNN7EXAMPLE',
  AWS_SECRET_ACCESS_KEY: 'the-secret-key',
})

beforeAll(async () => {
  directory = await scratchDir('issuer-command')
  certificates = await Promise.all([makeCertificate(), makeCertificate()])
  certFile = join(directory, 'cert.pem')
  keyFile = join(directory, 'key.pem')
  await useCertificate(certificates[0]!)
})

afterAll(async () => {
  await Promise.all(certificates.map(({ remove }) => remove()))
  await removeScratch()
})

async function useCertificate(certificate: TestCertificate): Promise<void> {
  await writeFile(keyFile, certificate.key)
  await copyFile(certificate.caFile, certFile)
}

/** The port that the log says it listens on. */
function readyPort(issuer: StartedPostbox): Promise<number> {
  return until('the issuer is ready', () => {
    const ready = issuer.output.stderr.split('\n').find((line) => line.includes('issuer ready'))
    return ready === undefined ? null : (JSON.parse(ready) as { listen: { port: number } }).listen.port
  })
}

async function certificateOf(port: number): Promise<string> {
  const socket = tls.connect({ host: '127.0.0.1', port, rejectUnauthorized: false })
  await once(socket, 'secureConnect')
  const { fingerprint256 } = socket.getPeerCertificate()
  socket.destroy()
  return fingerprint256
}

describe('postbox issuer', () => {
  test('prints a token once, and lines for keyholder.yaml that hold only its hash', async () => {
    const { code, stdout } = await runPostbox(['issuer', '--new-token', 'db1'])
    expect(code).toBe(0)
    const found = /^postbox_[\w-]{43}$/m.exec(stdout)
    token = new Secret(found![0])
    const yaml = stdout.slice(stdout.indexOf('servers:'))
    expect(yaml).not.toContain(token.reveal())
    expect(parse(yaml)).toEqual({
      servers: {
        db1: { token_sha256: expect.stringMatching(/^[0-9a-f]{64}$/), grant_life: '12h', max_part_bytes: '64MiB' },
      },
    })
    await writeFile(env()['POSTBOX_KEYHOLDER_FILE']!, yaml)
    expect((await runPostbox(['issuer', '--new-token', 'db1'])).stdout).not.toContain(token.reveal())
  })

  test('serves grants for that token over TLS, and its metrics apart from them, until it is stopped', async () => {
    const observed = `127.0.0.1:${await freePort()}`
    const tlsArgs = ['--tls-cert', certFile, '--tls-key', keyFile]
    const args = ['issuer', '--listen', '127.0.0.1:0', ...tlsArgs, '--metrics-listen', observed]
    const issuer = startPostbox(args, { env: env() })
    const port = await readyPort(issuer)
    const ca = readFileSync(certFile)
    const { grant } = await requestGrant({
      url: `https://127.0.0.1:${port}`,
      token,
      ca,
      signal: AbortSignal.timeout(30_000),
    })
    expect(checkGrant(grant, 'db1', new Date()).bucket).toBe('acme-backups')
    const wrong = requestGrant({
      url: `https://127.0.0.1:${port}`,
      token: new Secret('x'),
      ca,
      signal: AbortSignal.timeout(30_000),
    })
    await expect(wrong).rejects.toMatchObject({ code: 'issuer_refused' })
    const metrics = await (await fetch(`http://${observed}/metrics`)).text()
    expect(metrics).toContain('postbox_issuer_grants_signed_total 1\n')
    expect(metrics).toContain('postbox_issuer_grants_refused_total{reason="unknown_token"} 1\n')
    expect((await fetch(`http://${observed}/readyz`)).status).toBe(200)
    issuer.signal('SIGTERM')
    const { code, stdout, stderr } = await issuer.ended
    expect({ code, stdout }).toEqual({ code: 0, stdout: '' })
    expect(stderr).toContain('issuer stops')
    expect(stderr).not.toMatch(new RegExp(`${token.reveal()}|the-secret-key|AKIAIOSFODNN7EXAMPLE`))
  })

  test('takes a renewed certificate on SIGHUP, and keeps the old one when the new is broken', async () => {
    await useCertificate(certificates[0]!)
    const args = ['issuer', '--listen', '127.0.0.1:0', '--tls-cert', certFile, '--tls-key', keyFile]
    const issuer = startPostbox(args, { env: env() })
    const port = await readyPort(issuer)
    const first = await certificateOf(port)

    await useCertificate(certificates[1]!)
    issuer.signal('SIGHUP')
    await until('the new certificate is shown', async () => (await certificateOf(port)) !== first)
    const second = await certificateOf(port)

    await writeFile(certFile, 'not a certificate')
    issuer.signal('SIGHUP')
    await until('the log complains', () => issuer.output.stderr.includes('the certificate stays as before'))
    expect(await certificateOf(port)).toBe(second)
    issuer.signal('SIGINT')
    expect((await issuer.ended).code).toBe(0)
    await useCertificate(certificates[0]!)
  })

  test.each<[string, string[], RegExp]>([
    ['without TLS on a public address', ['--listen', '0.0.0.0:0'], /without TLS .* 0\.0\.0\.0: .*--behind-proxy/s],
    ['with half of TLS', ['--tls-cert', 'c.pem'], /--tls-cert and --tls-key go together/],
    ['with a certificate that is not there', ['--tls-cert', '/no/c.pem', '--tls-key', '/no/k.pem'], /ENOENT/],
  ])('does not start %s', async (_, args, said) => {
    const { code, stderr } = await runPostbox(['issuer', ...args], { env: env() })
    expect(code).toBe(1)
    expect(stderr).toMatch(said)
  })

  test('does not start with a key that belongs to another certificate', async () => {
    const other = certificates[1]!
    const args = ['issuer', '--tls-cert', other.caFile, '--tls-key', keyFile]
    const { code, stderr } = await runPostbox(args, { env: env() })
    expect(code).toBe(1)
    expect(stderr).toMatch(/cannot be used: .*\(config_invalid\)/)
  })

  test('names an address that is taken', async () => {
    const taken = createServer().listen(0, '127.0.0.1')
    await once(taken, 'listening')
    const { port } = taken.address() as { port: number }
    const { code, stderr } = await runPostbox(['issuer', '--listen', `127.0.0.1:${port}`], { env: env() })
    taken.close()
    expect(code).toBe(1)
    expect(stderr).toContain(`cannot listen on 127.0.0.1:${port}`)
  })
})
