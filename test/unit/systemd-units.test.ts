import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { workerConfig } from '../../src/config.js'

const read = (path: string): string => readFileSync(new URL(`../../docs/${path}`, import.meta.url), 'utf8')
const unit = read('systemd/postbox-worker.service')
const dropIn = read('systemd/postbox-worker-issuer.conf')

/** What docs/install.md puts into worker.env: the line for all, and that with an issuer. */
const worker = read('install.md').split('## 5. The worker')[1]!
const [always, withIssuer] = [...worker.matchAll(/^```\n(POSTBOX_.*?)^```$/gms)].map(([, text]) => text!)

let credentials: string

beforeAll(() => {
  credentials = mkdtempSync(join(tmpdir(), 'pb-units-'))
})
afterAll(() => {
  rmSync(credentials, { recursive: true })
})

/** As systemd does before a start: refuses a credential whose file is not there. */
function start(units: string, environmentFile: string, files: Record<string, string>): Record<string, string> {
  const values = (key: string) => [...units.matchAll(new RegExp(`^${key}=(.*)$`, 'gm'))].map(([, value]) => value!)
  for (const [name, path] of values('LoadCredential').map((value) => value.split(':'))) {
    if (!(path! in files)) throw new Error(`Failed to set up credentials: ${path}`)
    writeFileSync(join(credentials, name!), files[path!]!)
  }
  const lines = [
    ...values('Environment').map((value) => value.replaceAll('%d', credentials)),
    ...environmentFile.split('\n'),
  ]
  return Object.fromEntries(
    lines.filter(Boolean).map((line) => [line.slice(0, line.indexOf('=')), line.replace(/^\w+=/, '')]),
  )
}

test('the unit starts without an issuer', () => {
  const config = workerConfig(start(unit, always!, {}))
  expect(config.issuer).toBeNull()
  expect(config.socket).toBe('/run/postbox/worker.sock')
})

test('with its drop-in the unit has the token of the issuer, and does not start without', () => {
  const env = always! + withIssuer!
  const config = workerConfig(start(unit + dropIn, env, { '/etc/postbox/issuer-token': 'token\n' }))
  expect(config.issuer).toMatchObject({ url: 'https://keyholder.example.com:8443' })
  expect(config.issuer!.token.reveal()).toBe('token')
  expect(() => start(unit + dropIn, env, {})).toThrow('/etc/postbox/issuer-token')
  expect(() => workerConfig(start(unit, env, {}))).toThrow('POSTBOX_ISSUER_TOKEN is not set')
})

test('the lines for a password can be put into force', () => {
  const lines = unit.replace(/^#(?=(LoadCredential=database-password|Environment=POSTBOX_DATABASE_PASSWORD))/gm, '')
  const env = start(lines, 'POSTBOX_DATABASE_URL=postgresql://postbox@db1/postgres', {
    '/etc/postbox/database-password': 'hidden\n',
  })
  expect(workerConfig(env).databaseUrls[0]!.reveal()).toContain(':hidden@')
})

test('the unit says of memory what was measured of a base backup', () => {
  const [, base] = read('benchmarks.md').split('## base: ')
  const measured = [...base!.split('## ')[0]!.matchAll(/^\| \d+ \|.* (\d+) \| \d+ \|$/gm)].map(([, mib]) => Number(mib))
  expect(measured.length).toBeGreaterThan(1)
  expect(unit).toContain(`at most ${Math.max(...measured)} MiB`)
})
