import { ListObjectsV2Command, ListObjectVersionsCommand, type S3Client } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startS3, type LocalS3 } from './server.js'
import { sdkClient } from './test-grant.js'

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
