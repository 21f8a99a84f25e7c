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
import { createHash } from 'node:crypto'
import http from 'node:http'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Grant } from '../../../src/box/grant.js'
import { startS3, type LocalS3 } from './server.js'
import { makeGrant, sdkClient } from './test-grant.js'

let s3: LocalS3
let client: S3Client
let grant: Grant

beforeAll(async () => {
  s3 = await startS3({ buckets: [{ name: 'plain' }, { name: 'kept', versioned: true }, { name: 'lock', lock: true }] })
  client = sdkClient(s3)
  grant = await makeGrant(s3, { server: 'db1', bucket: 'plain', maxPartBytes: 1000 })
})
afterAll(async () => {
  client.destroy()
  await s3.close()
})

type Fields = [string, string][]
const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('base64')

function fieldsOf(key: string, file: Buffer): Fields {
  return [
    ['key', key],
    ['content-type', 'text/plain'],
    ['x-amz-checksum-sha256', sha256(file)],
    ...Object.entries(grant.fields),
  ]
}

const without = (fields: Fields, name: string): Fields => fields.filter(([one]) => one !== name)
const changed = (fields: Fields, name: string, value: string): Fields => [...without(fields, name), [name, value]]
const field = ([name, value]: [string, string]): string =>
  `--bnd\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`

interface Sent {
  status: number
  text: string
}

/** A form written by hand, so that nothing is made right on the way. `after` stands behind the file. */
async function send(fields: Fields, file: Buffer | null, after: Fields = [], url = grant.url): Promise<Sent> {
  const head = fields.map(field).join('')
  const middle = file ? '--bnd\r\nContent-Disposition: form-data; name="file"; filename="f.txt"\r\n\r\n' : ''
  const tail = (file ? '\r\n' : '') + after.map(field).join('') + '--bnd--\r\n'
  const body = Buffer.concat([Buffer.from(head + middle), file ?? Buffer.alloc(0), Buffer.from(tail)])
  const response = await fetch(url, {
    method: 'POST',
    body,
    headers: { 'content-type': 'multipart/form-data; boundary=bnd' },
  })
  return { status: response.status, text: await response.text() }
}

describe('an upload by form', () => {
  const file = Buffer.from('some bytes\r\n--bn\r\nthat look like a boundary')

  test('is stored and answered with bucket, key and ETag', async () => {
    const { status, text } = await send(fieldsOf('db1/a/b', file), file)
    expect(status).toBe(201)
    const md5 = createHash('md5').update(file).digest('hex')
    expect(text).toContain(`<Bucket>plain</Bucket><Key>db1/a/b</Key><ETag>"${md5}"</ETag></PostResponse>`)
    expect(s3.bucket('plain').get('db1/a/b')).toEqual(file)
  })

  test('has the file name put into its key', async () => {
    await send(fieldsOf('db1/${filename}', file), file)
    expect(s3.bucket('plain').keys()).toContain('db1/f.txt')
  })

  test('may name its fields in any case', async () => {
    const upper = fieldsOf('db1/upper', file).map(([name, value]): [string, string] => [name.toUpperCase(), value])
    expect((await send(upper, file)).status).toBe(201)
  })

  const refusals: [string, (good: Fields) => Fields, number, string][] = [
    [
      'without a key',
      (good) => without(good, 'key'),
      400,
      '<Message>Bucket POST must contain a field named &#39;key&#39;.',
    ],
    [
      'without a policy',
      (good) => without(good, 'policy'),
      403,
      '<Code>AccessDenied</Code><Message>Access Denied</Message>',
    ],
    ['without a signature', (good) => without(good, 'x-amz-signature'), 400, 'X-Amz-Signature'],
    [
      'with another signature',
      (good) => changed(good, 'x-amz-signature', 'a'.repeat(64)),
      403,
      'SignatureDoesNotMatch',
    ],
    [
      'with an encoded policy that was changed',
      (good) => changed(good, 'policy', `${grant.fields['policy']!}=`),
      403,
      'SignatureDoesNotMatch',
    ],
    [
      'with a key outside the prefix',
      (good) => changed(good, 'key', 'db2/x'),
      403,
      'Policy Condition failed: [&quot;starts-with&quot;, &quot;$key&quot;, &quot;db1/&quot;]',
    ],
    [
      'with another success status',
      (good) => changed(good, 'success_action_status', '204'),
      403,
      'Policy Condition failed',
    ],
    ['with an acl', (good) => [...good, ['acl', 'public-read']], 403, 'Extra input fields: acl'],
    ['without a checksum', (good) => without(good, 'x-amz-checksum-sha256'), 403, 'Policy Condition failed'],
    [
      'with another checksum',
      (good) => changed(good, 'x-amz-checksum-sha256', sha256(Buffer.from('x'))),
      400,
      'BadDigest',
    ],
    ['with a checksum that is none', (good) => changed(good, 'x-amz-checksum-sha256', 'x'), 400, 'InvalidRequest'],
    [
      'with more than 20 KB before the file',
      (good) => [...good, ['x-ignore-a', 'a'.repeat(20_480)]],
      400,
      'MaxPostPreDataLengthExceeded',
    ],
  ]
  test.each(refusals)('%s is refused and not stored', async (_, change, status, text) => {
    const answer = await send(change(fieldsOf('db1/refused', file)), file)
    expect([answer.status, answer.text]).toEqual([status, expect.stringContaining(text)])
    expect(s3.bucket('plain').keys('db1/refused')).toEqual([])
  })

  test('is refused when a field stands behind the file', async () => {
    const good = fieldsOf('db1/refused', file)
    const { status, text } = await send(without(good, 'key'), file, [['key', 'db1/refused']])
    expect([status, text]).toEqual([400, expect.stringContaining('check the order of the fields')])
  })

  test('is refused without a file', async () => {
    const { status, text } = await send(fieldsOf('db1/refused', file), null)
    expect([status, text]).toEqual([400, expect.stringContaining('exactly one file upload')])
  })

  test.each([
    [0, 400, 'EntityTooSmall'],
    [1, 201, ''],
    [1000, 201, ''],
    [1001, 400, '<MaxSizeAllowed>1000</MaxSizeAllowed>'],
  ])('of %i bytes is answered with %i %s', async (bytes, status, text) => {
    const sized = Buffer.alloc(bytes, 'x')
    const answer = await send(fieldsOf('db1/sized', sized), sized)
    expect([answer.status, answer.text]).toEqual([status, expect.stringContaining(text)])
  })

  test('to a bucket that is not there is refused', async () => {
    const { status, text } = await send(fieldsOf('db1/x', file), file, [], `${s3.endpoint}/none`)
    expect([status, text]).toEqual([404, expect.stringContaining('NoSuchBucket')])
  })

  test('to another bucket than the policy names is refused', async () => {
    const { status, text } = await send(fieldsOf('db1/x', file), file, [], `${s3.endpoint}/kept`)
    expect([status, text]).toEqual([403, expect.stringContaining('Policy Condition failed')])
  })

  test('that is no form is refused', async () => {
    const response = await fetch(grant.url, {
      method: 'POST',
      body: 'key=x',
      headers: { 'content-type': 'text/plain' },
    })
    expect([response.status, await response.text()]).toEqual([
      412,
      expect.stringContaining('enclosure-type multipart/form-data'),
    ])
  })

  test('without a Content-Length is refused', async () => {
    const status = await new Promise<number | undefined>((resolve, reject) => {
      const headers = { 'content-type': 'multipart/form-data; boundary=bnd', 'transfer-encoding': 'chunked' }
      const request = http.request(grant.url, { method: 'POST', headers }, (response) => {
        response.resume()
        resolve(response.statusCode)
      })
      request.on('error', reject)
      request.end('--bnd--\r\n')
    })
    expect(status).toBe(411)
  })

  test('says SignatureDoesNotMatch and not "expired" when an expired policy was changed', async () => {
    s3.shiftClock(120)
    const expired = await send(fieldsOf('db1/x', file), file)
    const tampered = await send(changed(fieldsOf('db1/x', file), 'x-amz-signature', '0'.repeat(64)), file)
    s3.shiftClock(0)
    expect([expired.status, expired.text]).toEqual([
      403,
      expect.stringContaining('Invalid according to Policy: Policy expired.'),
    ])
    expect(tampered.text).toContain('SignatureDoesNotMatch')
  })
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

describe('a listing', () => {
  const bucket = 'many'
  const keys = Array.from(
    { length: 10_000 },
    (_, i) => `base/${String(i % 100).padStart(3, '0')}/${String(i).padStart(5, '0')}`,
  ).sort()
  let many: LocalS3
  let reader: S3Client

  beforeAll(async () => {
    many = await startS3({ buckets: [{ name: bucket, versioned: true }] })
    reader = sdkClient(many)
    for (const key of [...keys, 'a', 'z']) many.bucket(bucket).put(key, Buffer.from('x'))
    for (const key of keys.slice(0, 3)) many.bucket(bucket).put(key, Buffer.from('yy'))
    many.bucket(bucket).delete('base/000/00300', new Date())
  })
  afterAll(async () => {
    reader.destroy()
    await many.close()
  })

  async function all(Prefix: string, more: { Delimiter?: string; StartAfter?: string; MaxKeys?: number }) {
    const [contents, folders]: [string[], string[]] = [[], []]
    let token: string | undefined
    let pages = 0
    do {
      const page = await reader.send(
        new ListObjectsV2Command({ Bucket: bucket, Prefix, ...more, ContinuationToken: token }),
      )
      contents.push(...(page.Contents ?? []).map(({ Key }) => Key!))
      folders.push(...(page.CommonPrefixes ?? []).map((one) => one.Prefix!))
      token = page.NextContinuationToken
      pages++
    } while (token !== undefined)
    return { contents, folders, pages }
  }

  test('comes in pages of a thousand, in order, without the deleted', async () => {
    const { contents, pages } = await all('base/', {})
    expect(contents).toEqual(keys.filter((key) => key !== 'base/000/00300'))
    expect(pages).toBe(10)
  })

  test.each([1000, 7, 1])('folds folders, in pages of %i', async (MaxKeys) => {
    const { contents, folders } = await all('base/', { Delimiter: '/', MaxKeys })
    expect(contents).toEqual([])
    expect(folders).toEqual(Array.from({ length: 100 }, (_, i) => `base/${String(i).padStart(3, '0')}/`))
  })

  test('begins after the key that it is told', async () => {
    const { contents } = await all('base/', { StartAfter: 'base/099/09799' })
    expect(contents).toEqual(['base/099/09899', 'base/099/09999'])
  })

  test.each([1000, 2])('of versions names each once, newest first, in pages of %i', async (MaxKeys) => {
    const seen: string[] = []
    let marker: { KeyMarker?: string | undefined; VersionIdMarker?: string | undefined } = {}
    for (;;) {
      const page = await reader.send(
        new ListObjectVersionsCommand({ Bucket: bucket, Prefix: 'base/000/', MaxKeys, ...marker }),
      )
      const entries = [...(page.Versions ?? []), ...(page.DeleteMarkers ?? [])]
      seen.push(...entries.map(({ Key, VersionId }) => `${Key!} ${VersionId!}`))
      if (!page.IsTruncated) break
      marker = { KeyMarker: page.NextKeyMarker, VersionIdMarker: page.NextVersionIdMarker }
    }
    const expected = keys
      .filter((key) => key.startsWith('base/000/'))
      .flatMap((key) =>
        many
          .bucket(bucket)
          .versions(key)
          .map(({ versionId }) => `${key} ${versionId}`),
      )
    expect(new Set(seen).size).toBe(seen.length)
    expect(seen.toSorted()).toEqual(expected.toSorted())
    expect(expected).toHaveLength(104)
  })
})
