import { readFileSync } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import {
  databaseUrls,
  issuerConfig,
  keyholderConfig,
  logLevel,
  variables,
  workerConfig,
  type Environment,
} from '../../src/config.js'
import { PostboxError } from '../../src/errors.js'
import { scratchDir } from '../sandbox/scratch.js'

const database = { POSTBOX_DATABASE_URL: 'postgresql://postbox:hunter2@localhost/app' }
const bucket = { POSTBOX_BUCKET: 'acme-backups' }

function failure(read: () => unknown): PostboxError {
  try {
    read()
  } catch (error) {
    if (error instanceof PostboxError) return error
    throw error
  }
  throw new Error('nothing was thrown')
}

describe('what the worker reads', () => {
  test('only the database must be named', () => {
    expect(workerConfig(database)).toEqual({
      databaseUrls: [expect.anything()],
      sourceUrls: [],
      issuer: null,
      socket: null,
      listen: null,
      pageToken: null,
      boxCaFile: null,
      logLevel: 'info',
      threads: availableParallelism(),
    })
  })

  test('the socket has a whole path', () => {
    const socket = '/run/postbox/db1.sock'
    expect(workerConfig({ ...database, POSTBOX_SOCKET: socket })).toMatchObject({ socket })
    expect(() => workerConfig({ ...database, POSTBOX_SOCKET: 'db1.sock' })).toThrow(/POSTBOX_SOCKET.*begin with/)
  })

  test('a missing variable is named with an example', () => {
    const { code, message, hint } = failure(() => workerConfig({}))
    expect({ code, message }).toEqual({ code: 'config_missing', message: 'POSTBOX_DATABASE_URL is not set' })
    expect(hint).toContain('postgresql://')
  })

  test('an empty variable is a missing one', () => {
    expect(failure(() => databaseUrls({ POSTBOX_DATABASE_URL: ' ' })).code).toBe('config_missing')
  })

  test('a database address of another kind is refused without repeating its password', () => {
    const error = failure(() => databaseUrls({ POSTBOX_DATABASE_URL: 'mysql://root:hunter2@localhost/app' }))
    expect(error.code).toBe('config_invalid')
    expect(`${error.message} ${error.hint}`).not.toContain('hunter2')
  })

  test('several addresses stand with commas between, which may stand in a password too', () => {
    const [first, second, third] = [
      'postgresql://u:a,b@one:5432/app',
      'postgres:///app?host=/run/pg',
      'postgresql://three',
    ]
    const urls = databaseUrls({ POSTBOX_DATABASE_URL: `${first},${second}, ${third}` })
    expect(urls.map((url) => url.reveal())).toEqual([first, second, third])
    const { sourceUrls } = workerConfig({ ...database, POSTBOX_SOURCE_URL: `${second},${third}` })
    expect(sourceUrls.map((url) => url.reveal())).toEqual([second, third])
  })

  test('the password may come from a file, for each address that has a user and no password', async () => {
    const file = join(await scratchDir('config'), 'password')
    await writeFile(file, 'p@ss: w/rd?\n')
    const env = { POSTBOX_DATABASE_PASSWORD_FILE: file }
    const read = (POSTBOX_DATABASE_URL: string) =>
      databaseUrls({ ...env, POSTBOX_DATABASE_URL }).map((url) => url.reveal())
    const put = encodeURIComponent('p@ss: w/rd?')
    expect(read('postgresql://u@one/app,postgres://u:own@two,postgresql://three/app?x=a@b')).toEqual([
      `postgresql://u:${put}@one/app`,
      'postgres://u:own@two',
      'postgresql://three/app?x=a@b',
    ])
    expect(read('postgresql://u@/app?host=/run/pg')).toEqual([`postgresql://u:${put}@/app?host=/run/pg`])
    const { sourceUrls } = workerConfig({ ...database, ...env, POSTBOX_SOURCE_URL: 'postgresql://u@standby' })
    expect(sourceUrls[0]!.reveal()).toBe(`postgresql://u:${put}@standby`)
    await writeFile(file, ' \n')
    expect(failure(() => read('postgresql://u@one')).message).toContain(`${file} is empty`)
    await rm(file)
    expect(failure(() => read('postgresql://u@one')).message).toContain(`${file} cannot be read`)
  })

  test('the password and the token print as ***', () => {
    const env = { ...database, POSTBOX_ISSUER_URL: 'https://issuer:8443/', POSTBOX_ISSUER_TOKEN: 'postbox_abc' }
    const config = workerConfig(env)
    expect(JSON.stringify(config)).not.toMatch(/hunter2|postbox_abc/)
    expect(config.issuer?.token.reveal()).toBe('postbox_abc')
    expect(config.issuer?.url).toBe('https://issuer:8443')
  })

  test('the token may come from a file, whose line end does not count', async () => {
    const directory = await scratchDir('config')
    const file = join(directory, 'token')
    await writeFile(file, 'postbox_from_file\n')
    const env = { ...database, POSTBOX_ISSUER_URL: 'https://issuer:8443', POSTBOX_ISSUER_TOKEN_FILE: file }
    expect(workerConfig(env).issuer?.token.reveal()).toBe('postbox_from_file')
    await rm(file)
    expect(failure(() => workerConfig(env)).message).toContain(`${file} cannot be read`)
  })

  test.each<[string, Environment, string]>([
    ['an issuer without a token', { POSTBOX_ISSUER_URL: 'https://i' }, 'POSTBOX_ISSUER_TOKEN is not set'],
    ['a token without an issuer', { POSTBOX_ISSUER_TOKEN: 't' }, 'POSTBOX_ISSUER_URL is not set'],
    [
      'two tokens',
      { POSTBOX_ISSUER_URL: 'https://i', POSTBOX_ISSUER_TOKEN: 't', POSTBOX_ISSUER_TOKEN_FILE: '/f' },
      'POSTBOX_ISSUER_TOKEN is set as well',
    ],
    ['a token of two words', { POSTBOX_ISSUER_URL: 'https://i', POSTBOX_ISSUER_TOKEN: 'a b' }, 'it holds no token'],
    ['an issuer that is no address', { POSTBOX_ISSUER_URL: 'issuer:8443' }, 'POSTBOX_ISSUER_URL cannot be used'],
    ['a password in an address', { POSTBOX_ISSUER_URL: 'https://u:p@i' }, 'POSTBOX_ISSUER_URL cannot be used'],
    ['several hosts in one address', { POSTBOX_DATABASE_URL: 'postgresql://u@a,b/d' }, 'it has several hosts'],
    ['a source that is no address', { POSTBOX_SOURCE_URL: 'standby' }, 'POSTBOX_SOURCE_URL cannot be used'],
    ['no threads', { POSTBOX_THREADS: '0' }, 'POSTBOX_THREADS cannot be used'],
    ['an unknown log level', { POSTBOX_LOG_LEVEL: 'loud' }, 'POSTBOX_LOG_LEVEL cannot be used'],
  ])('%s is refused', (_, env, message) => {
    expect(failure(() => workerConfig({ ...database, ...env })).message).toContain(message)
  })
})

describe('what the keyholder reads', () => {
  test('for AWS the bucket is enough', () => {
    expect(keyholderConfig(bucket)).toEqual({
      bucket: 'acme-backups',
      endpoint: null,
      region: 'us-east-1',
      pathStyle: false,
      caFile: null,
    })
  })

  test('another service is reached by path unless told otherwise', () => {
    const env = { ...bucket, POSTBOX_S3_ENDPOINT: 'https://s3.example.com/' }
    expect(keyholderConfig(env)).toMatchObject({ endpoint: 'https://s3.example.com', pathStyle: true })
    expect(keyholderConfig({ ...env, POSTBOX_S3_PATH_STYLE: 'false' }).pathStyle).toBe(false)
  })

  test.each([
    [{ AWS_DEFAULT_REGION: 'eu-west-3' }, 'eu-west-3'],
    [{ AWS_DEFAULT_REGION: 'eu-west-3', AWS_REGION: 'eu-west-2' }, 'eu-west-2'],
    [{ AWS_REGION: 'eu-west-2', POSTBOX_S3_REGION: 'eu-west-1' }, 'eu-west-1'],
  ])('the region comes from the nearest variable: %o', (env, region) => {
    expect(keyholderConfig({ ...bucket, ...env }).region).toBe(region)
  })

  test('the bucket is asked for by name', () => {
    expect(failure(() => keyholderConfig({})).message).toBe('POSTBOX_BUCKET is not set')
  })

  test('anything but true and false is no answer', () => {
    const error = failure(() => keyholderConfig({ ...bucket, POSTBOX_S3_PATH_STYLE: 'yes' }))
    expect(error).toMatchObject({ code: 'config_invalid', hint: 'It may be: true or false.' })
  })

  test("the issuer's file lies in the working directory unless named", () => {
    expect(issuerConfig(bucket).keyholderFile).toBe('keyholder.yaml')
    expect(issuerConfig({ ...bucket, POSTBOX_KEYHOLDER_FILE: '/etc/k.yaml' }).keyholderFile).toBe('/etc/k.yaml')
  })
})

describe('the table of variables', () => {
  test('names each variable that config.ts reads, and no other', () => {
    const source = readFileSync(new URL('../../src/config.ts', import.meta.url), 'utf8')
    const read = new Set(source.match(/\bPOSTBOX_[A-Z0-9_]+/g))
    expect([...read].sort()).toEqual(variables.map(({ name }) => name).sort())
  })

  test('says info where nothing is set', () => {
    expect(variables.find(({ name }) => name === 'POSTBOX_LOG_LEVEL')?.default).toBe(logLevel({}))
  })
})
