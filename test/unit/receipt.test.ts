import { beforeAll, describe, expect, test } from 'vitest'
import { readReceipt, type Posted } from '../../src/box/answer.js'
import { createPart } from '../../src/box/part.js'
import { answer, part, postedPart, xml } from './box-answer.js'

let posted: Posted
const md5 = part.md5.toString('hex')
beforeAll(async () => {
  posted = await postedPart()
})

describe('a receipt', () => {
  const body = (key = 'db1/1/x', etag = `"${md5}"`, bucket = 'b', attributes = ''): string =>
    `<?xml version="1.0" encoding="UTF-8"?>\n<PostResponse${attributes}><Location>/anything</Location><Bucket>${bucket}</Bucket><Key>${key}</Key><ETag>${etag}</ETag></PostResponse>`

  test.each([
    ['AWS', body()],
    ['Ceph, whose ETag has no quotes', body('db1/1/x', md5)],
    ['one with escaped quotes', body('db1/1/x', `&quot;${md5}&quot;`)],
    ['one in upper case', body('db1/1/x', `"${md5.toUpperCase()}"`)],
    ['one with a namespace', body('db1/1/x', md5, 'b', ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"')],
  ])('of %s is read', (_, text) => {
    expect(readReceipt(answer(201, text), posted)).toMatchObject({ key: 'db1/1/x', bytes: 5, versionId: null })
  })

  test('keeps the version where the bucket has one', () => {
    expect(readReceipt(answer(201, body(), { 'x-amz-version-id': 'v1' }), posted).versionId).toBe('v1')
    expect(readReceipt(answer(201, body(), { 'x-amz-version-id': 'null' }), posted).versionId).toBeNull()
  })

  test('of a key with characters that XML escapes is read', () => {
    const key = `db1/1/<a&b>'"é`
    const odd = { ...posted, part: { ...part, key } }
    expect(readReceipt(answer(201, body('db1/1/&lt;a&amp;b&gt;&apos;&#34;&#xe9;')), odd).key).toBe(key)
  })

  test.each([
    ['another key', 201, body('db1/1/y')],
    ['a key in another case', 201, body('db1/1/X')],
    ['another bucket', 201, body(undefined, undefined, 'c')],
    ['another ETag', 201, body('db1/1/x', '"0123"')],
    ['no ETag', 201, body('db1/1/x', '')],
    ['no body', 201, ''],
    ['an HTML page', 201, '<html><Bucket>b</Bucket></html>'],
    ['200', 200, body()],
    ['204', 204, ''],
  ])('with %s is no receipt', (_, status, text) => {
    expect(() => readReceipt(answer(status, text), posted)).toThrow(
      expect.objectContaining({ code: 'box_answer_wrong' }),
    )
  })

  test('with another SHA-256 is no receipt', () => {
    const other = createPart('db1/1/x', [Buffer.from('other')], '').sha256.toString('base64')
    expect(() => readReceipt(answer(201, body(), { 'x-amz-checksum-sha256': other }), posted)).toThrow(/SHA-256/)
  })

  test.each(['aws:kms', 'aws:kms:dsse'])('of a bucket that encrypts with %s needs no MD5', (kind) => {
    const headers = { 'x-amz-server-side-encryption': kind }
    expect(readReceipt(answer(201, body('db1/1/x', '"not-md5"'), headers), posted).etag).toBe('not-md5')
  })

  test('of a bucket that encrypts by itself (AES256) needs the MD5 as ever', () => {
    const headers = { 'x-amz-server-side-encryption': 'AES256' }
    expect(() => readReceipt(answer(201, body('db1/1/x', '"x"'), headers), posted)).toThrow(/ETag/)
  })

  test('that carries an error is that error', () => {
    expect(() => readReceipt(answer(201, xml('SlowDown', 'slow')), posted)).toThrow(
      expect.objectContaining({ code: 'box_unavailable' }),
    )
  })
})
