import { randomBytes } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { curlLine, runInShell } from '../sandbox/curl-line.js'
import { startS3, type LocalS3 } from '../sandbox/s3/server.js'
import { removeScratch, scratchDir } from '../sandbox/scratch.js'

const bytes = randomBytes(300_000)

let directory: string

beforeAll(async () => {
  directory = await scratchDir('grant-curl')
})

afterAll(async () => {
  await removeScratch()
})

async function makeFile(name: string, content: Buffer = bytes): Promise<string> {
  const file = join(directory, name)
  await mkdir(dirname(file), { recursive: true })
  await writeFile(file, content)
  return file
}

describe.each([false, true])('the curl line (TLS: %s)', (tls) => {
  let s3: LocalS3

  beforeAll(async () => {
    s3 = await startS3({ buckets: [{ name: 'acme' }, { name: 'locked', versioned: true, lock: true }], tls })
  })

  afterAll(async () => {
    await s3.close()
  })

  test('stores the file under upload/, byte by byte', async () => {
    const line = await curlLine(s3, ['--file', await makeFile('plain.tar')])
    const { code, stdout, stderr } = await runInShell(line)
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toContain('<Key>db1/upload/plain.tar</Key>')
    expect(s3.bucket('acme').get('db1/upload/plain.tar')).toEqual(bytes)
  })

  test('stores into a bucket that keeps versions under lock, which asks for a checksum', async () => {
    const line = await curlLine(s3, ['--file', await makeFile('locked.tar')], 'locked')
    expect(await runInShell(line)).toMatchObject({ code: 0, stderr: '' })
    expect(s3.bucket('locked').get('db1/upload/locked.tar')).toEqual(bytes)
  })

  test('can be told to go slowly', async () => {
    const line = await curlLine(s3, ['--file', await makeFile('slow.tar'), '--limit-rate', '50M'])
    expect(line).toContain("--limit-rate '50M'")
    expect(await runInShell(line)).toMatchObject({ code: 0 })
    expect(s3.bucket('acme').get('db1/upload/slow.tar')).toEqual(bytes)
  })

  test('fails when the file is not there', async () => {
    const line = await curlLine(s3, ['--file', join(directory, 'nowhere.tar')])
    const { code, stderr } = await runInShell(line)
    expect(code).not.toBe(0)
    expect(stderr).toContain('nowhere.tar')
    expect(s3.bucket('acme').keys()).not.toContain('db1/upload/nowhere.tar')
  })

  test('fails, with what S3 says, for a file larger than was signed for', async () => {
    const line = await curlLine(s3, ['--file', await makeFile('large.tar'), '--max-part-bytes', '100kB'])
    const { code, stdout } = await runInShell(line)
    expect(code).toBe(22)
    expect(stdout).toContain('EntityTooLarge')
  })

  test('cannot be bent to write where backups lie', async () => {
    const line = await curlLine(s3, ['--file', await makeFile('bent.tar')])
    const bent = line.replace('db1/upload/bent.tar', 'db1/7000/base/manifest.json')
    expect(bent).not.toBe(line)
    const { code, stdout } = await runInShell(bent)
    expect(code).toBe(22)
    expect(stdout).toContain('Policy Condition failed')
    expect(s3.bucket('acme').keys('db1/7000/')).toEqual([])
  })
})

describe('the curl line, whatever the file is called,', () => {
  let s3: LocalS3

  beforeAll(async () => {
    s3 = await startS3({ buckets: [{ name: 'acme' }] })
  })

  afterAll(async () => {
    await s3.close()
  })

  test.each([
    "it's.tar",
    'two words.tar',
    'a "quoted" one.tar',
    'back\\slash.tar',
    '$HOME `id` $(id).tar',
    'semi;colon,comma=equals&.tar',
    '-dash.tar',
    '@at<less>.tar',
    '100%s %n.tar',
    'Größe 数据.tar',
    "'; touch injected; '",
  ])('stores %s', async (name) => {
    const file = await makeFile(`odd ' dir/${name}`)
    const line = await curlLine(s3, ['--file', file])
    for (const shell of ['sh', 'bash']) expect(await runInShell(line, shell)).toMatchObject({ code: 0, stderr: '' })
    expect(s3.bucket('acme').get(`db1/upload/${name}`)).toEqual(bytes)
  })
})

describe('nobody on the machine', () => {
  test('reads the signature in the list of processes', async () => {
    const s3 = await startS3({ buckets: [{ name: 'acme' }] })
    try {
      const line = await curlLine(s3, ['--file', await makeFile('seen.tar')])
      const signature = /x-amz-signature=([0-9a-f]{64})/.exec(line)![1]!
      const seen = join(directory, 'bin', 'curl')
      await mkdir(dirname(seen), { recursive: true })
      await writeFile(seen, '#!/bin/sh\nprintf "%s\\n" "$*"\ncat > /dev/null\n', { mode: 0o755 })
      const { stdout } = await runInShell(`PATH=${dirname(seen)}:$PATH; ${line}`)
      expect(stdout).toContain('--config -')
      expect(stdout).not.toContain(signature)
      expect(stdout).not.toContain('policy')
    } finally {
      await s3.close()
    }
  })
})
