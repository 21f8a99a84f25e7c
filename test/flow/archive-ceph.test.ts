import {
  DeleteObjectCommand,
  PutObjectCommand,
  PutObjectLegalHoldCommand,
  PutObjectRetentionCommand,
  type S3Client,
} from '@aws-sdk/client-s3'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openArchive, type StoredObject } from '../../src/keyholder/archive.js'
import { openDeletableArchive, versionsOf } from '../../src/keyholder/prune/deletable-archive.js'
import { cephAvailable, startCeph, type Ceph } from '../sandbox/ceph/ceph.js'
import { sdkClient } from '../sandbox/s3/test-grant.js'

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = []
  for await (const item of items) found.push(item)
  return found
}

describe.runIf(await cephAvailable())('the archive at a real Ceph', () => {
  let ceph: Ceph
  let client: S3Client

  beforeAll(async () => {
    ceph = await startCeph({ buckets: ['plain', 'kept:versioned', 'locked:lock'] })
    client = sdkClient(ceph)
  })

  afterAll(async () => {
    client.destroy()
    await ceph.stop()
  })

  const put = (Bucket: string, Key: string, Body: string) => client.send(new PutObjectCommand({ Bucket, Key, Body }))
  const read = async (bucket: string, object: StoredObject): Promise<string> =>
    (await openArchive(client, bucket).read(object)).toString()

  test.each(['plain', 'kept'])('lists more objects of a %s bucket than one answer holds', async (bucket) => {
    const keys = Array.from({ length: 1_203 }, (_, index) => `many/${String(index).padStart(5, '0')}-a.zst`)
    for (let at = 0; at < keys.length; at += 50) {
      await Promise.all(keys.slice(at, at + 50).map((key) => put(bucket, key, key)))
    }
    const archive = openArchive(client, bucket)
    const listed = await all(archive.list('many/'))
    expect(listed.map((one) => one.key)).toEqual(keys)
    expect(await read(bucket, listed[1_100]!)).toBe(keys[1_100])
    expect((await all(archive.list('many/', 'many/01000'))).map((one) => one.key)).toEqual(keys.slice(1_000))
    expect((await all(archive.list('many/', 'many/01190', 5))).map((one) => one.key)).toEqual(keys.slice(1_190))
    expect((await all(archive.list('many/', keys[1_200]))).map((one) => one.key)).toEqual(keys.slice(1_201))
  })

  test.each(['kept', 'locked'])('reads the earliest version in a %s bucket', async (bucket) => {
    for (const body of ['first', 'second', 'third']) await put(bucket, 'over/a', body)
    const [object, ...others] = await all(openArchive(client, bucket).list('over/'))
    expect(others).toEqual([])
    expect(object!.laterVersions).toBe(2)
    expect(await read(bucket, object!)).toBe('first')
  })

  test('does not show what was deleted', async () => {
    for (const key of ['gone/x/a', 'gone/y/a']) await put('kept', key, key)
    await client.send(new DeleteObjectCommand({ Bucket: 'kept', Key: 'gone/x/a' }))
    const archive = openArchive(client, 'kept')
    expect((await all(archive.list('gone/'))).map((one) => one.key)).toEqual(['gone/y/a'])
    expect(await all(archive.folders('gone/'))).toEqual(['y'])
  })

  test.each(['plain', 'kept'])(
    'deletes every version of a key in a %s bucket, and its delete markers',
    async (bucket) => {
      const archive = openDeletableArchive(client, bucket)
      for (const body of ['first', 'second']) await archive.put('gone/z/a', Buffer.from(body))
      await client.send(new DeleteObjectCommand({ Bucket: bucket, Key: 'gone/z/a' }))
      await archive.put('gone/z/b', Buffer.from('b'))
      const keys = await all(archive.keys('gone/z/'))
      for (const version of keys.flatMap(versionsOf)) {
        expect(await archive.remove(version)).toBe('removed')
        expect(await archive.remove(version)).toBe('removed')
      }
      expect(keys.length).toBe(bucket === 'kept' ? 2 : 1)
      expect(await all(archive.keys('gone/z/'))).toEqual([])
    },
  )

  test('says what Object Lock keeps, and until when', async () => {
    const archive = openDeletableArchive(client, 'locked')
    await archive.put('held/a', Buffer.from('a'))
    const [version] = (await all(archive.keys('held/'))).flatMap(versionsOf)
    const held = { Bucket: 'locked', Key: 'held/a', VersionId: version!.versionId! }
    await client.send(new PutObjectLegalHoldCommand({ ...held, LegalHold: { Status: 'ON' } }))
    expect(await archive.remove(version!)).toEqual({ retained: 'a legal hold' })
    const RetainUntilDate = new Date(Date.now() + 86_400_000)
    await client.send(new PutObjectRetentionCommand({ ...held, Retention: { Mode: 'GOVERNANCE', RetainUntilDate } }))
    expect(await archive.retention(version!)).toEqual({ retained: expect.stringMatching(/^Object Lock until 20/) })
    expect(await archive.remove(version!)).toEqual({ retained: expect.stringMatching(/^Object Lock until 20/) })
    expect(await all(archive.keys('held/'))).toHaveLength(1)
  })

  test('refuses an unknown bucket and a wrong key', async () => {
    await expect(all(openArchive(client, 'nowhere').list(''))).rejects.toThrow(/no such bucket/)
    const wrong = sdkClient({ ...ceph, secretKey: 'wrong' })
    await expect(all(openArchive(wrong, 'plain').list(''))).rejects.toMatchObject({ code: 'archive_refused' })
    wrong.destroy()
  })
})
