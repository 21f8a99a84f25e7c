import { createHash, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { GetObjectCommand, ListObjectsV2Command, type S3Client } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { checkGrant } from '../../src/box/grant-check.js'
import { createHttpBox } from '../../src/box/http-box.js'
import { createPart } from '../../src/box/part.js'
import { openS3 } from '../../src/keyholder/s3-client.js'
import { signGrant } from '../../src/keyholder/sign.js'
import { cephAvailable, startCeph, type Ceph } from '../sandbox/ceph/ceph.js'
import { curlLine, runInShell } from '../sandbox/curl-line.js'
import { removeScratch, scratchDir } from '../sandbox/scratch.js'

const signal = AbortSignal.timeout(100_000)
const bytes = randomBytes(300_000)

describe.runIf(await cephAvailable())('Ceph', () => {
  let ceph: Ceph
  let s3: S3Client
  let file: string

  beforeAll(async () => {
    ceph = await startCeph({ buckets: ['acme'] })
    file = join(await scratchDir('grant-ceph'), "it's a file.tar")
    await writeFile(file, bytes)
    const { tlsEndpoint: endpoint, region, caFile, accessKey, secretKey } = ceph
    const credentials = { accessKeyId: accessKey, secretAccessKey: secretKey }
    s3 = openS3({ bucket: 'acme', endpoint, region, pathStyle: true, caFile }, { credentials })
  })

  afterAll(async () => {
    s3?.destroy()
    await ceph?.stop()
    await removeScratch()
  })

  async function stored(key: string): Promise<Buffer> {
    const { Body } = await s3.send(new GetObjectCommand({ Bucket: 'acme', Key: key }))
    return Buffer.from(await Body!.transformToByteArray())
  }

  async function keys(prefix: string): Promise<string[]> {
    const { Contents = [] } = await s3.send(new ListObjectsV2Command({ Bucket: 'acme', Prefix: prefix }))
    return Contents.map(({ Key }) => Key!)
  }

  const sign = (expiresInSeconds = 3600) =>
    signGrant({ s3, bucket: 'acme', server: 'db1', expiresInSeconds, maxPartBytes: 1024 ** 2 })

  test('takes what the box posts with a signed grant', async () => {
    const grant = checkGrant(await sign(), 'db1', new Date())
    const box = createHttpBox({ grant: () => grant, connections: 1, ca: readFileSync(ceph.caFile) })
    const part = createPart('db1/1/part', [bytes], 'application/zstd')
    expect((await box.post(part, signal)).etag).toContain(createHash('md5').update(bytes).digest('hex'))
    await box.close()
    expect(await stored('db1/1/part')).toEqual(bytes)
  })

  test.each<[string, (form: FormData) => void, RegExp]>([
    ['another server’s key', (form) => void form.set('key', 'db2/x'), /AccessDenied/],
    ['an acl', (form) => void form.set('acl', 'public-read'), /AccessDenied/],
    // Not tried: a form without a checksum. Ceph reads a missing field as an empty one, which any text begins with.
    ['metadata of its own', (form) => void form.set('x-amz-meta-note', 'x'), /AccessDenied/],
    ['a later date', (form) => void form.set('x-amz-date', '20991231T000000Z'), /AccessDenied/],
    ['another status', (form) => void form.set('success_action_status', '200'), /AccessDenied/],
  ])('refuses a form with %s', async (_, change, said) => {
    const { url, fields } = await sign()
    const form = new FormData()
    const free = { key: 'db1/refused', 'content-type': 'a/b', 'x-amz-checksum-sha256': 'x' }
    for (const [name, value] of Object.entries({ ...free, ...fields })) form.set(name, value)
    change(form)
    form.set('file', new Blob(['hello']))
    // The same form over plain HTTP: fetch has no setting for our certificate.
    const answer = await fetch(url.replace(ceph.tlsEndpoint, ceph.endpoint), { method: 'POST', body: form })
    expect(answer.status).toBe(403)
    expect(await answer.text()).toMatch(said)
    expect([...(await keys('db1/refused')), ...(await keys('db2/'))]).toEqual([])
  })

  test('stores what the curl line uploads', async () => {
    const line = await curlLine({ ...ceph, endpoint: ceph.tlsEndpoint }, ['--file', file])
    expect(await runInShell(line)).toMatchObject({ code: 0, stderr: '' })
    expect(await stored("db1/upload/it's a file.tar")).toEqual(bytes)
  })

  test('refuses a curl line that was bent to write where backups lie, or to more than was signed for', async () => {
    const small = await curlLine({ ...ceph, endpoint: ceph.tlsEndpoint }, ['--file', file, '--max-part-bytes', '100kB'])
    expect(await runInShell(small)).toMatchObject({ code: 22, stdout: expect.stringContaining('EntityTooLarge') })
    const line = await curlLine({ ...ceph, endpoint: ceph.tlsEndpoint }, ['--file', file])
    const bent = line.replace('key=db1/upload/', 'key=db1/7000/')
    expect(await runInShell(bent)).toMatchObject({ code: 22, stdout: expect.stringContaining('AccessDenied') })
    expect(await keys('db1/7000/')).toEqual([])
  })
})
