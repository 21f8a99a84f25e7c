import {
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetBucketVersioningCommand,
  GetObjectCommand,
  GetObjectRetentionCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  ListObjectVersionsCommand,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startS3, type LocalS3 } from './server.js'
import { sdkClient } from './test-grant.js'

let s3: LocalS3
let client: S3Client

beforeAll(async () => {
  s3 = await startS3({ buckets: [{ name: 'plain' }, { name: 'kept', versioned: true }, { name: 'lock', lock: true }] })
  client = sdkClient(s3)
})
afterAll(async () => {
  client.destroy()
  await s3.close()
})

describe('the AWS SDK', () => {
  const put = (Bucket: string, Key: string, Body: string) => client.send(new PutObjectCommand({ Bucket, Key, Body }))
  const read = async (Bucket: string, Key: string, more = {}) =>
    (await client.send(new GetObjectCommand({ Bucket, Key, ...more }))).Body!.transformToString()

  test('reads versions and ranges of names that need encoding', async () => {
    const key = "a b/c+d&e=(f)*'ü/x.txt"
    const first = await put('kept', key, 'first')
    await put('kept', key, 'second')
    expect(await read('kept', key)).toBe('second')
    expect(await read('kept', key, { VersionId: first.VersionId, Range: 'bytes=1-3' })).toBe('irs')
    expect(await read('kept', key, { Range: 'bytes=-2' })).toBe('nd')
    await expect(read('kept', key, { Range: 'bytes=6-' })).rejects.toMatchObject({ name: 'InvalidRange' })
    const { Versions } = await client.send(new ListObjectVersionsCommand({ Bucket: 'kept', Prefix: key }))
    expect(Versions!.map(({ IsLatest, Size }) => [IsLatest, Size])).toEqual([
      [true, 6],
      [false, 5],
    ])
  })

  test('finds that a deleted key is gone and its versions are not', async () => {
    const { VersionId } = await put('kept', 'deleted', 'x')
    await client.send(new DeleteObjectCommand({ Bucket: 'kept', Key: 'deleted' }))
    await expect(client.send(new HeadObjectCommand({ Bucket: 'kept', Key: 'deleted' }))).rejects.toMatchObject({
      name: 'NotFound',
    })
    expect(await read('kept', 'deleted', { VersionId })).toBe('x')
    const listed = await client.send(new ListObjectVersionsCommand({ Bucket: 'kept', Prefix: 'deleted' }))
    expect([listed.DeleteMarkers?.length, listed.Versions?.length]).toEqual([1, 1])
  })

  test('cannot delete a version that is retained', async () => {
    const { VersionId } = await client.send(
      new PutObjectCommand({ Bucket: 'lock', Key: 'x', Body: 'x', ChecksumAlgorithm: 'SHA256' }),
    )
    await expect(client.send(new DeleteObjectCommand({ Bucket: 'lock', Key: 'x', VersionId }))).rejects.toMatchObject({
      name: 'AccessDenied',
    })
    const { Retention } = await client.send(new GetObjectRetentionCommand({ Bucket: 'lock', Key: 'x' }))
    expect(Retention!.Mode).toBe('COMPLIANCE')
    await expect(put('lock', 'x', 'x')).rejects.toMatchObject({ name: 'InvalidRequest' })
  })

  test('deletes many at once and creates only what is not there', async () => {
    await Promise.all(['m/1', 'm/2', 'm/3'].map((key) => put('plain', key, 'x')))
    const once = new PutObjectCommand({ Bucket: 'plain', Key: 'm/1', Body: 'y', IfNoneMatch: '*' })
    await expect(client.send(once)).rejects.toMatchObject({ name: 'PreconditionFailed' })
    const Delete = { Objects: [{ Key: 'm/1' }, { Key: 'm/3' }] }
    await client.send(new DeleteObjectsCommand({ Bucket: 'plain', Delete }))
    expect(s3.bucket('plain').keys('m/')).toEqual(['m/2'])
  })

  test('is told whether a bucket keeps versions', async () => {
    const [plain, kept] = await Promise.all(
      ['plain', 'kept'].map((Bucket) => client.send(new GetBucketVersioningCommand({ Bucket }))),
    )
    expect([plain!.Status, kept!.Status]).toEqual([undefined, 'Enabled'])
  })

  test('sends checksums by trailer when it is left to its defaults', async () => {
    const { endpoint, region, accessKey, secretKey } = s3
    const credentials = { accessKeyId: accessKey, secretAccessKey: secretKey }
    const byDefault = new S3Client({ endpoint, region, forcePathStyle: true, credentials })
    await byDefault.send(new PutObjectCommand({ Bucket: 'plain', Key: 'trailer', Body: 'bytes' }))
    expect(await read('plain', 'trailer')).toBe('bytes')
    byDefault.destroy()
  })

  test('is refused with a wrong key and without any', async () => {
    const wrong = sdkClient({ ...s3, secretKey: 'x' })
    await expect(wrong.send(new ListObjectsV2Command({ Bucket: 'plain' }))).rejects.toMatchObject({
      name: 'SignatureDoesNotMatch',
    })
    expect((await fetch(`${s3.endpoint}/plain?list-type=2`)).status).toBe(403)
    expect((await fetch(`${s3.endpoint}/plain/trailer`)).status).toBe(403)
    wrong.destroy()
  })

  test('is refused with a clock that is 20 minutes off, and mends its clock by the answer', async () => {
    s3.shiftClock(20)
    const late = sdkClient(s3)
    await late.send(new ListObjectsV2Command({ Bucket: 'plain' }))
    s3.shiftClock(0)
    expect(s3.requests.slice(-2).map(({ status }) => status)).toEqual([403, 200])
    late.destroy()
  })
})
