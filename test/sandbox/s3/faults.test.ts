import { GetObjectCommand, ListObjectsV2Command, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { FaultRule } from './faults.js'
import { startS3, type LocalS3 } from './server.js'

let s3: LocalS3
let client: S3Client

beforeEach(async () => {
  s3 = await startS3({ buckets: [{ name: 'b' }] })
  const { endpoint, region, accessKey, secretKey } = s3
  const credentials = { accessKeyId: accessKey, secretAccessKey: secretKey }
  // Tries once, so that each fault is seen.
  client = new S3Client({ endpoint, region, credentials, forcePathStyle: true, maxAttempts: 1 })
  for (const key of ['a', 'b']) s3.bucket('b').put(key, Buffer.from(`content of ${key}`))
})
afterEach(async () => {
  client.destroy()
  await s3.close()
})

const read = async (key: string): Promise<string> => {
  const { Body } = await client.send(new GetObjectCommand({ Bucket: 'b', Key: key }))
  return await Body!.transformToString()
}
/** What each read led to: its content, or the name of the error. */
const outcome = (key: string): Promise<string> => read(key).catch((error: Error) => error.name)
const slow = (rule: Omit<FaultRule, 'fault'>): FaultRule => ({
  ...rule,
  fault: { kind: 'status', status: 503, code: 'SlowDown' },
})

describe('a fault', () => {
  test('falls once, unless it is told otherwise', async () => {
    s3.fail(slow({}))
    expect([await outcome('a'), await outcome('a')]).toEqual(['SlowDown', 'content of a'])
    s3.fail(slow({ times: 2 }))
    expect([await outcome('a'), await outcome('a'), await outcome('a')]).toEqual([
      'SlowDown',
      'SlowDown',
      'content of a',
    ])
  })

  test('can wait for the n-th request', async () => {
    s3.fail(slow({ nth: 2 }))
    expect([await outcome('a'), await outcome('b'), await outcome('a')]).toEqual([
      'content of a',
      'SlowDown',
      'content of a',
    ])
  })

  test('falls on the operation and the key that it names', async () => {
    s3.fail(slow({ op: 'GetObject', key: /^b$/, times: 9 }))
    await client.send(new ListObjectsV2Command({ Bucket: 'b' }))
    expect([await outcome('a'), await outcome('b')]).toEqual(['content of a', 'SlowDown'])
  })

  test('ends when it is undone', async () => {
    const undo = s3.fail(slow({ times: 9 }))
    expect(await outcome('a')).toBe('SlowDown')
    undo()
    expect(await outcome('a')).toBe('content of a')
  })

  test('can cut a download after some bytes', async () => {
    s3.fail({ op: 'GetObject', fault: { kind: 'cut-body', afterBytes: 4 } })
    await expect(read('a')).rejects.toThrow()
    expect(await read('a')).toBe('content of a')
  })

  test.each([
    ['before-store', []],
    ['after-store', ['new']],
  ] as const)('can cut an upload %s', async (when, stored) => {
    s3.fail({ op: 'PutObject', fault: { kind: 'cut', when } })
    await expect(client.send(new PutObjectCommand({ Bucket: 'b', Key: 'new', Body: 'x' }))).rejects.toThrow()
    expect(s3.bucket('b').keys('new')).toEqual(stored)
  })

  test('is named in the log of requests', async () => {
    s3.fail(slow({}))
    await outcome('a')
    await outcome('a')
    expect(s3.requests.map(({ op, key, status, fault }) => [op, key, status, fault])).toEqual([
      ['GetObject', 'a', 503, 'status'],
      ['GetObject', 'a', 200, null],
    ])
  })
})

test('damage to a stored object is what is read', async () => {
  s3.bucket('b').corrupt('a')
  expect(await read('a')).not.toBe('content of a')
  s3.bucket('b').remove('b')
  expect(await outcome('b')).toBe('NoSuchKey')
})
