import { createHash } from 'node:crypto'
import http from 'node:http'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Grant } from '../../../src/box/grant.js'
import { startS3, type LocalS3 } from './server.js'
import { makeGrant } from './test-grant.js'

let s3: LocalS3
let grant: Grant

beforeAll(async () => {
  s3 = await startS3({ buckets: [{ name: 'plain' }, { name: 'kept', versioned: true }] })
  grant = await makeGrant(s3, { server: 'db1', bucket: 'plain', maxPartBytes: 1000 })
})
afterAll(() => s3.close())

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
