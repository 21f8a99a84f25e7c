import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { createPart } from '../../src/box/part.js'
import { postForm } from '../../src/box/post-form.js'
import { makeGrant } from '../sandbox/s3/test-grant.js'

const s3 = { endpoint: 'http://127.0.0.1:1', region: 'us-east-1', accessKey: 'AK', secretKey: 'SK' } as const
const grant = await makeGrant(s3, { server: 'db1', bucket: 'b' })
const part = createPart('db1/1/x', [randomBytes(1000), randomBytes(24)], 'application/zstd')

async function read(): Promise<FormData> {
  const form = postForm(grant, part)
  const body = Buffer.concat([form.prefix, ...part.chunks, form.suffix])
  expect(form.bytes).toBe(body.length)
  // Node's own reader of forms has the last word on the syntax.
  return new Response(body, { headers: { 'content-type': form.contentType } }).formData()
}

test('a form holds the key, the fields of the grant and the bytes of the part', async () => {
  const form = await read()
  expect(form.get('key')).toBe('db1/1/x')
  expect(form.get('content-type')).toBe('application/zstd')
  expect(form.get('x-amz-checksum-sha256')).toBe(part.sha256.toString('base64'))
  for (const [name, value] of Object.entries(grant.fields)) expect(form.get(name)).toBe(value)
  const file = form.get('file') as File
  expect(Buffer.from(await file.arrayBuffer())).toEqual(Buffer.concat(part.chunks))
})

test('the file stands last and has an ASCII name', async () => {
  const form = await read()
  expect([...form.keys()].at(-1)).toBe('file')
  expect((form.get('file') as File).name).toBe('part')
})

test('every field of the form has its condition in the policy', async () => {
  const { conditions } = JSON.parse(Buffer.from(grant.fields['policy']!, 'base64').toString()) as {
    conditions: (Record<string, string> | [string, string | number, string | number])[]
  }
  const covered = conditions.map((one) =>
    (Array.isArray(one) ? String(one[1]).replace('$', '') : Object.keys(one)[0]!).toLowerCase(),
  )
  const free = ['policy', 'x-amz-signature', 'file']
  for (const name of (await read()).keys()) expect([...covered, ...free]).toContain(name)
})

test('each form has a boundary of its own', () => {
  expect(postForm(grant, part).contentType).not.toBe(postForm(grant, part).contentType)
})

test('what stands before the file is far below the 20 KB of S3', () => {
  const long = createPart(`db1/${'k'.repeat(1000)}`, part.chunks, 'application/zstd')
  expect(postForm(grant, long).prefix.length).toBeLessThan(8192)
})
