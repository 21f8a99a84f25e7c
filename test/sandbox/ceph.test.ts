import { readFileSync } from 'node:fs'
import { Agent } from 'node:https'
import {
  GetBucketVersioningCommand,
  GetObjectCommand,
  GetObjectLockConfigurationCommand,
  ListBucketsCommand,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { cephAvailable, startCeph, type Ceph } from './ceph/ceph.js'

describe.runIf(await cephAvailable())('Ceph', () => {
  let ceph: Ceph
  beforeAll(async () => {
    ceph = await startCeph({ buckets: ['plain', 'locked:lock', 'kept:versioned'] })
  })
  afterAll(() => ceph.stop())

  const clientFor = (endpoint: string, secretKey = ceph.secretKey) =>
    new S3Client({
      endpoint,
      region: ceph.region,
      forcePathStyle: true,
      credentials: { accessKeyId: ceph.accessKey, secretAccessKey: secretKey },
      requestHandler: { httpsAgent: new Agent({ ca: readFileSync(ceph.caFile) }) },
    })

  it('has the buckets that were asked for, of the kinds that were asked for', async () => {
    const s3 = clientFor(ceph.endpoint)
    const { Buckets = [] } = await s3.send(new ListBucketsCommand())
    expect(Buckets.map(({ Name }) => Name).sort()).toEqual(['kept', 'locked', 'plain'])
    const versioning = async (Bucket: string) => (await s3.send(new GetBucketVersioningCommand({ Bucket }))).Status
    expect(await versioning('plain')).toBeUndefined()
    expect(await versioning('kept')).toBe('Enabled')
    expect(await versioning('locked')).toBe('Enabled')
    const lock = await s3.send(new GetObjectLockConfigurationCommand({ Bucket: 'locked' }))
    expect(lock.ObjectLockConfiguration?.ObjectLockEnabled).toBe('Enabled')
    s3.destroy()
  })

  it('takes over HTTP what it gives over TLS, and refuses a wrong key', async () => {
    const [plain, tls] = [clientFor(ceph.endpoint), clientFor(ceph.tlsEndpoint)]
    await plain.send(new PutObjectCommand({ Bucket: 'plain', Key: 'a/b', Body: Buffer.from('stored') }))
    const { Body } = await tls.send(new GetObjectCommand({ Bucket: 'plain', Key: 'a/b' }))
    expect(await Body!.transformToString()).toBe('stored')
    const stranger = clientFor(ceph.endpoint, 'wrong')
    await expect(stranger.send(new ListBucketsCommand())).rejects.toMatchObject({ name: 'SignatureDoesNotMatch' })
    for (const client of [plain, tls, stranger]) client.destroy()
  })
})
