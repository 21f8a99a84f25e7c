import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  DeleteObjectCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  ListObjectVersionsCommand,
  PutBucketPolicyCommand,
  PutObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { checkGrant } from '../../src/box/grant-check.js'
import { createHttpBox } from '../../src/box/http-box.js'
import { createPart } from '../../src/box/part.js'
import { openArchive } from '../../src/keyholder/archive.js'
import { drillPrefix, lastDrills } from '../../src/keyholder/drill/stored-drill.js'
import { probeBucket } from '../../src/keyholder/probe/probe.js'
import { openDeletableArchive, versionsOf } from '../../src/keyholder/prune/deletable-archive.js'
import { PLAN_PREFIX } from '../../src/keyholder/prune/prune-plan.js'
import { keptPrefix, lastKept } from '../../src/keyholder/prune/stored-kept.js'
import { signGrant } from '../../src/keyholder/sign.js'
import { accessKeyOf, cephAvailable, startCeph, type Ceph } from '../sandbox/ceph/ceph.js'
import { sdkClient } from '../sandbox/s3/test-grant.js'

const users = ['signer', 'news', 'reader', 'pruner', 'prober'] as const
type User = (typeof users)[number]

/** docs/iam/USER.json as a part of a bucket's policy. Ceph knows no s3:authType, so that it has one of its own for the signer. */
async function statementsFor(user: User): Promise<object[]> {
  const name = user === 'signer' ? 'ceph-signer' : user
  const text = await readFile(join(import.meta.dirname, `../../docs/iam/${name}.json`), 'utf8')
  const { Statement } = JSON.parse(text) as { Statement: { Sid: string }[] }
  const Principal = { AWS: [`arn:aws:iam:::user/${user}`] }
  return Statement.map((statement) => ({ Principal, ...statement, Sid: `${user}-${statement.Sid}` }))
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = []
  for await (const item of items) found.push(item)
  return found
}

describe.runIf(await cephAvailable())('the policies of docs/iam at a real Ceph', () => {
  const Bucket = 'acme-backups'
  let ceph: Ceph
  let owner: S3Client
  let as: Record<User, S3Client>

  beforeAll(async () => {
    ceph = await startCeph({ buckets: [`${Bucket}:versioned`], users: [...users] })
    owner = sdkClient(ceph)
    as = Object.fromEntries(
      users.map((user) => [user, sdkClient({ ...ceph, accessKey: accessKeyOf(user) })]),
    ) as typeof as
    const Statement = (await Promise.all(users.map(statementsFor))).flat()
    const Policy = JSON.stringify({ Version: '2012-10-17', Statement })
    await owner.send(new PutBucketPolicyCommand({ Bucket, Policy }))
    await post('db1/1/part', 'stored by a worker')
  })

  afterAll(async () => {
    for (const client of [owner, ...Object.values(as ?? {})]) client?.destroy()
    await ceph?.stop()
  })

  /** Posts as a worker does, with a grant that the signer signed. */
  async function post(key: string, text: string, server = 'db1'): Promise<void> {
    const terms = { bucket: Bucket, server, expiresInSeconds: 3600, maxPartBytes: 1024 ** 2 }
    const grant = checkGrant(await signGrant({ s3: as.signer, ...terms }), server, new Date())
    const box = createHttpBox({ grant: () => grant, connections: 1, ca: readFileSync(ceph.caFile) })
    try {
      await box.post(createPart(key, [Buffer.from(text)], 'text/plain'), AbortSignal.timeout(60_000))
    } finally {
      await box.close()
    }
  }

  const refused = (asking: Promise<unknown>) => expect(asking).rejects.toMatchObject({ name: 'AccessDenied' })
  const Key = 'db1/1/part'
  const put = (user: User, key: string, Body = 'x') => as[user].send(new PutObjectCommand({ Bucket, Key: key, Body }))

  /** What only the pruner may do to what a server stored, and what only readers may. */
  const cannotDelete = (user: User) => refused(as[user].send(new DeleteObjectCommand({ Bucket, Key })))
  const cannotRead = async (user: User) => {
    await refused(as[user].send(new GetObjectCommand({ Bucket, Key })))
    await refused(as[user].send(new ListObjectsV2Command({ Bucket, Prefix: 'db1/' })))
    await refused(as[user].send(new ListObjectVersionsCommand({ Bucket, Prefix: 'db1/' })))
  }

  test('the signer signs for its server alone, and can neither read, list nor delete', async () => {
    await cannotRead('signer')
    await cannotDelete('signer')
    await refused(put('signer', '.postbox/drill/db1/x'))
    await expect(post('db2/1/part', 'of another server', 'db2')).rejects.toMatchObject({ code: 'box_refused' })
  })

  test('an issuer with news.json reads the results of drills and what prune has left, and nothing else', async () => {
    expect(await lastDrills(openArchive(as.news, Bucket), 'db1')).toEqual([])
    await put('reader', `${drillPrefix('db1')}20261122T100000Z-x.json`)
    const [found] = await all(openArchive(as.news, Bucket).list(drillPrefix('db1')))
    expect((await openArchive(as.news, Bucket).read(found!)).toString()).toBe('x')
    const kept = { postbox_kept: 1, server: 'db1', system_identifier: '1', listed_at: '2026-11-22T10:00:00Z' }
    const body = JSON.stringify({ ...kept, backups: [], dumps: [], wal: [] })
    await put('pruner', `${keptPrefix('db1')}1/x.json`, body)
    expect(await lastKept(openArchive(as.news, Bucket), 'db1')).toMatchObject([kept])
    await put('pruner', `${PLAN_PREFIX}db1/1/x.closed.json`)
    expect(await all(openArchive(as.news, Bucket).list(`${PLAN_PREFIX}db1/`))).toHaveLength(1)
    await cannotRead('news')
    await cannotDelete('news')
  })

  test('the reader reads everything, stores results of drills, and deletes nothing', async () => {
    const archive = openArchive(as.reader, Bucket)
    const [object] = await all(archive.list('db1/'))
    expect((await archive.read(object!)).toString()).toBe('stored by a worker')
    expect(await all(archive.folders(''))).toContain('db1')
    await put('reader', '.postbox/drill/db1/y')
    await put('reader', '.postbox/verify/db1/1/y')
    await refused(put('reader', 'db1/1/other'))
    await cannotDelete('reader')
  })

  test('the pruner deletes versions, stores its plans, and posts nothing', async () => {
    await post('db1/1/old', 'to go')
    const archive = openDeletableArchive(as.pruner, Bucket)
    const versions = (await all(archive.keys('db1/1/old'))).flatMap(versionsOf)
    for (const version of versions) {
      expect(await archive.retention(version)).toBeNull()
      expect(await archive.remove(version)).toBe('removed')
    }
    expect(await all(archive.keys('db1/1/old'))).toEqual([])
    await archive.put('.postbox/prune/db1/plan.json', Buffer.from('{}'))
    await refused(put('pruner', 'db1/1/other'))
  })

  test('the prober finds what the owner finds, and cannot touch what servers stored', async () => {
    const ca = readFileSync(ceph.caFile, 'utf8')
    const outcomes = async (s3: S3Client) =>
      (await probeBucket(s3, Bucket, ca)).findings.map(({ name, outcome }) => `${name}: ${outcome}`)
    expect(await outcomes(as.prober)).toEqual(await outcomes(owner))
    expect(await all(openArchive(owner, Bucket).list('.postbox/probe/'))).toEqual([])
    await refused(put('prober', 'db1/1/other'))
    await refused(as.prober.send(new GetObjectCommand({ Bucket, Key })))
    await cannotDelete('prober')
  })
})
